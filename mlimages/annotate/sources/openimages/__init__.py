"""Open Images: label files whose rows are first brought together by image, on disk."""
