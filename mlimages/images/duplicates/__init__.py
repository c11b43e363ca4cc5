"""Duplicate images: fingerprints, groups of images with equal or nearly equal pixels, and their merge into one row."""
