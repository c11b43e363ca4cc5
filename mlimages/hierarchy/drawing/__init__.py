"""TODO mlimages/hierarchy/drawing."""
