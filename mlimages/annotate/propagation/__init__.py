"""TODO mlimages/annotate/propagation."""
