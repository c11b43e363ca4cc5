"""ImageNet and ILSVRC: lists and folder trees with one WordNet synset for each image."""
