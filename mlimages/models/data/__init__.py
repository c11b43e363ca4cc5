"""From tables and image files to batches: which images, decoding, preprocessing, labels."""
