"""An exponential moving average of a network's weights over the steps of a training."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.errors import UsageError


def make_average(model: nn.Module, decay: float) -> AveragedModel:
    """Make the average of a model, which has no steps in it yet.

    Args:
        model: model to copy.
        decay: share that the average keeps of itself at each step.

    Raises:
        UsageError: the model cannot be copied.
    """
    try:
        update = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        # The running statistics of batch norms are averaged with the weights that they belong to.
        return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
    except Exception as error:
        raise UsageError(
            f"train.ema_decay: expected a network that copy.deepcopy can copy, found {type(error).__name__}: {error}; "
            "keep no computed tensors in it, or leave ema_decay out"
        ) from error


def add_to_average(average: AveragedModel, model: nn.Module) -> None:
    """Add the weights after a step."""
    average.update_parameters(model)
    with torch.no_grad():
        # Counts, as of the batches that a batch norm has seen, have no average.
        for buffer, current in zip(average.module.buffers(), model.buffers(), strict=True):
            if not buffer.is_floating_point():
                buffer.copy_(current)
