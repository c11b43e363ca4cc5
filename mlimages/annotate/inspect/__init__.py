"""TODO mlimages/annotate/inspect."""
