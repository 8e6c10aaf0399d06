"""Check a finished artifact again, from outside the build that made it."""
