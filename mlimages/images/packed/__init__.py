"""Packed images: encoded images beside their labels, in Parquet shards that are read by row number or by name."""
