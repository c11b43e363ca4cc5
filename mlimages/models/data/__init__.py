"""TODO mlimages/models/data."""
