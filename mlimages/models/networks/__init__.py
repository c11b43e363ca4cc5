"""Networks, the meaning of their outputs, and their weights in files."""
