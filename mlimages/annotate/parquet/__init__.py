"""A Parquet writer for annotation tables."""
