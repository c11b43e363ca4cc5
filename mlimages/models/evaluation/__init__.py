"""How good a network is: metrics, counted batch by batch, and their evaluation on tables."""
