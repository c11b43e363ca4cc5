"""Readers, which return the definition of a hierarchy, and writers: one module per format."""
