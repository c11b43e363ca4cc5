"""TODO mlimages/storage."""
