"""Drawings of a hierarchy: a text tree, plotly figures, a page to browse."""
