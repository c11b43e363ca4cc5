"""TODO mlimages/hierarchy/formats."""
