"""TODO mlimages/images/duplicates."""
