"""How pictures lie in memory while a network is trained or asked by torch itself."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def set_layout(model: nn.Module, example: tuple[Tensor, ...]) -> torch.memory_format:
    """Lay a model out channels last, which torch is fast in, unless it cannot take pictures that lie so.

    `x.view(-1, 400)` after a convolution is such a network: it needs the values of an example in one piece.

    Args:
        model: raw inputs positional in; changed in place, its mode is restored.
        example: its inputs, on its device, pictures channels last.

    Returns:
        The layout that it has now, which its pictures must have too.
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
    """Lay a module's parameters out so, in place."""
    module.to(memory_format=layout)  # type: ignore[call-overload]
