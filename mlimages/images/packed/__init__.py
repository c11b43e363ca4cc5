"""Packed images: encoded images beside their labels in Parquet shards, written and read."""
