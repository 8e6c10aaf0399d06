"""Set how pictures lie in memory while torch itself trains or runs a network."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def set_layout(model: nn.Module, example: tuple[Tensor, ...]) -> torch.memory_format:
    """Lay a model out channels last, which is fast in torch, unless it cannot take pictures in that layout.

    A network with `x.view(-1, 400)` after a convolution cannot: it needs the values of an example in one piece.

    Args:
        model: model that takes raw inputs by position; it is changed in place, and its mode is restored.
        example: its inputs, on its device, with pictures channels last.

    Returns:
        The layout that the model has now, which its pictures must have too.
    """
    training = model.training
    layout = torch.channels_last
    to_layout(model.eval(), layout)
    try:
        with torch.no_grad():
            model(*example)
    except RuntimeError:
        layout = torch.contiguous_format
        to_layout(model, layout)
    model.train(training)
    return layout


def to_layout(module: nn.Module, layout: torch.memory_format) -> None:
    """Change the memory layout of a module's parameters, in place."""
    module.to(memory_format=layout)  # type: ignore[call-overload]
