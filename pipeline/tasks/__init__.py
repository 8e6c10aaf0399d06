"""What a network is for: targets, losses, scores and decisions of each task, in a closed table."""
