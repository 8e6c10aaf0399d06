"""Answers of a model file from a new process that imports the code that serves."""
