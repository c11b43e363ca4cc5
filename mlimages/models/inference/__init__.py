"""TODO mlimages/models/inference."""
