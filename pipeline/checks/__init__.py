"""Parity of lossless steps, quality of lossy ones."""
