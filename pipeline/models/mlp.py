"""A plain multilayer perceptron for vectors or flattened pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """Linear layers with ReLU in between.

    Args:
        features: values per example; pictures are flattened.
        hidden: sizes of the hidden layers, in order; without any, it is a linear classifier.
        classes: number of outputs K.
        dropout: probability after each hidden layer.
    """

    def __init__(self, *, features: int, hidden: Sequence[int], classes: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.input_features = features
        widths = [features, *hidden]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    def forward(self, values: Tensor) -> Tensor:
        """Map (B, ...) float32 with `features` values per example to logits (B, K)."""
        logits: Tensor = self.layers(values.reshape(-1, self.input_features))
        return logits
