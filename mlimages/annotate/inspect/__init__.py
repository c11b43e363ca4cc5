"""Looking at tables: statistics and figures, an audit of labels, why an image has a label, and how good rules are."""
