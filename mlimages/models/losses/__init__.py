"""Losses on logits and targets, and scores that are consistent with the hierarchy."""
