"""Co-occurrence of a teacher's categories with those of annotations: counts of pairs, their files, and rules."""
