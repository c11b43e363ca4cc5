"""TODO mlimages/hierarchy/wordnet."""
