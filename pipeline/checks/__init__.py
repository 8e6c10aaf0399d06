"""This package checks that a file answers as its source does: parity, determinism and golden answers."""
