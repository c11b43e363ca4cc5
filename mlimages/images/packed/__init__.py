"""TODO mlimages/images/packed."""
