"""The TensorFlow script is run by a test, in another environment; it is not to be imported here."""

collect_ignore = ["tensorflow_reference.py"]
