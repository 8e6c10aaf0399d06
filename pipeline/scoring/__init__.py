"""Scores examples with an archive, without a server: what is scored, the processes that answer, the file of answers."""
