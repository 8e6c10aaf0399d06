"""This package trains networks: loop, optimizers and schedules, augmentation, distillation, checkpoints, history."""
