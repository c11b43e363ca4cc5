"""The demo: one command from nothing to a folder to look at, ``python -m mlimages.demo --out demo``."""
