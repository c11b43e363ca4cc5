"""WordNet 3.0: the embedded noun taxonomy, hierarchies and class lists from it, and the bridge to NLTK."""
