"""TODO mlimages/annotate/sources/openimages."""
