"""TODO mlimages/annotate/sources."""
