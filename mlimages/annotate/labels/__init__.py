"""Labels themselves: the schema of a table, origins, and label columns as arrays."""
