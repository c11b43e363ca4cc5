"""TODO mlimages/models/networks."""
