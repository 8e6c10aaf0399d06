"""What a stranger's model file would do if it were loaded, read from its bytes before anything loads it."""
