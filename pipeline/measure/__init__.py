"""Interleaved timing of candidates, a process each, and what may be claimed from it."""
