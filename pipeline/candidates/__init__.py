"""What a candidate is, how one is evaluated, and how one is chosen."""
