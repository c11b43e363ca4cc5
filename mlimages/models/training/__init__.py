"""TODO mlimages/models/training."""
