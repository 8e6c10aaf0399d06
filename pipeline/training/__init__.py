"""Training of the float network: loop, optimizers and schedules, checkpoints, history."""
