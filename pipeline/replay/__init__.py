"""Replays inputs through a model file in a new process, which imports the code that serves."""
