"""TODO mlimages/annotate/tables."""
