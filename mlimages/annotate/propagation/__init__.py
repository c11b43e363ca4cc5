"""What labels bring: ancestors, descendants of absences and co-occurrence rules, and the way back."""
