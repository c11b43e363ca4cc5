"""TODO mlimages/annotate/sources/imagenet."""
