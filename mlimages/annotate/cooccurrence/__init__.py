"""TODO mlimages/annotate/cooccurrence."""
