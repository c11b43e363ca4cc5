"""Co-occurrence of a teacher's categories with those of annotations: counting pairs, keeping counts, rules from them."""
