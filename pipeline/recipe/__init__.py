"""Recipes: their sections, names and passes, and their files. Importing this package loads no heavy library."""
