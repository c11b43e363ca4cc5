"""TODO mlimages/job."""
