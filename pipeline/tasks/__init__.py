"""This package holds the tasks of networks, in a closed table: targets, losses, scores and decisions of each."""
