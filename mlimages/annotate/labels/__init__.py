"""TODO mlimages/annotate/labels."""
