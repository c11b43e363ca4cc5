"""The pixels: from a list of images to bytes that sit beside their labels."""
