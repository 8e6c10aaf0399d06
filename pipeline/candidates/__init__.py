"""Candidates: what they are, how they are evaluated, and how the winner is chosen."""
