"""Downloads of lists of URLs: polite, bounded, safe against hostile hosts, and resumable."""
