"""This package is the task of a network whose outputs are tensors of its own: they are held against float's."""
