"""Labels that follow from others: ancestors, descendants of absences, co-occurrence rules; and the inverse."""
