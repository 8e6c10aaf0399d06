"""The order in which an epoch sees its examples, from torch's random state, which checkpoints hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor

from pipeline.recipe.names import SamplingName


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """Draws the examples of each epoch.

    Args:
        count: number of examples, of which an epoch sees as many.
        by_class: indices of the examples of each class, for balanced sampling; None for each example once.
    """

    count: int
    by_class: tuple[Tensor, ...] | None = None

    def draw(self) -> Tensor:
        """The indices (N,) of the examples of one epoch, on the CPU."""
        if self.by_class is None:
            return torch.randperm(self.count)
        # `torch.multinomial` would take 2**24 examples at most.
        sizes = torch.tensor([len(indices) for indices in self.by_class])
        starts = sizes.cumsum(dim=0) - sizes
        classes_N = torch.randint(len(sizes), (self.count,))
        places_N = (torch.rand(self.count, dtype=torch.float64) * sizes[classes_N]).long()
        return torch.cat(self.by_class)[starts[classes_N] + places_N]


def make_sampler(sampling: SamplingName, labels_N: Tensor) -> Sampler:
    """Make what draws the examples of an epoch.

    Args:
        sampling: each example once, or each class as often as any other.
        labels_N: class of each example, for balanced sampling.
    """
    match sampling:
        case "shuffled":
            return Sampler(count=len(labels_N))
        case "balanced":
            labels_N = labels_N.cpu()
            counts = torch.bincount(labels_N)
            by_class = tuple(torch.nonzero(labels_N == label).flatten() for label in torch.nonzero(counts).flatten())
            return Sampler(count=len(labels_N), by_class=by_class)
        case _:
            assert_never(sampling)
