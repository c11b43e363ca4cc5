"""Tables on disk: folders of Parquet parts with a manifest, and the one place that opens and checks them."""
