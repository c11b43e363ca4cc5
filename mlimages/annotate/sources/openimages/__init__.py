"""Open Images: label files whose rows are first grouped by image, on disk."""
