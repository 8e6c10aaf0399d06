"""Determines from the bytes of a stranger's model file what it would do, before anything loads it."""
