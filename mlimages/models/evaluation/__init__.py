"""TODO mlimages/models/evaluation."""
