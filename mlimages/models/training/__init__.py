"""A training run: its settings, start, loop, checkpoint, log and validation."""
