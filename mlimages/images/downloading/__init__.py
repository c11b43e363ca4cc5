"""TODO mlimages/images/downloading."""
