"""The labels of the demo: lists and tables of its scenes, rules judged against the truth, the published list."""
