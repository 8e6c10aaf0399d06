"""This package finds the first layer that answers otherwise: it traces files, aligns steps, compares constants."""
