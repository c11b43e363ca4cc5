"""The demo: ``python -m mlimages.demo --out demo`` generates data, runs the whole method and writes a report."""
