"""What the demo reports: its results, sentences about them, charts, and the HTML page."""
