"""Small networks that several tests work on."""

from __future__ import annotations

from torch import nn


def bare() -> nn.Module:
    """A network that nothing wraps, with one inside it."""
    return nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
