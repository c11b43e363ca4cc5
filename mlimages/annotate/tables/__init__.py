"""Tables on disk as values: opening, merging, filtering, splitting and exporting them."""
