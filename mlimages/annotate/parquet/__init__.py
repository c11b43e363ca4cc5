"""TODO mlimages/annotate/parquet."""
