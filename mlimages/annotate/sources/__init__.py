"""Sources of labels, a file or folder for each format, and the function that opens one by name."""
