"""The pictures of the demo: cut-out objects, backgrounds, and scenes composed of them with known contents."""
