"""What is learned from the labels of the demo: the teacher, a small network, a last layer, and their measures."""
