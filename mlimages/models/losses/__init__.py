"""TODO mlimages/models/losses."""
