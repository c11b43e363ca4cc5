"""Inspection of tables: statistics and figures, an audit of labels, explanations, and the evaluation of rules."""
