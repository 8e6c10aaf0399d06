"""This package draws pictures of what was measured."""
