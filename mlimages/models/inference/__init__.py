"""Inference: the classes and features of images, and a teacher's predictions."""
