"""Which epoch's weights are kept, and whether training ends early: both follow from the figures on validation alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pipeline.recipe.names import MonitorName
from pipeline.recipe.train import EarlyStopping
from pipeline.training.history import Epoch, Metrics


def monitored(metrics: Metrics, monitor: MonitorName) -> float:
    """The figure that decides; the worst possible where there is none, as of a loss that is not finite.

    Args:
        metrics: figures on the validation split.
        monitor: figure to take: the higher the metric, the better; the lower the loss, the better.
    """
    if monitor == "metric":
        return metrics.score
    return math.inf if metrics.loss is None else metrics.loss


def best_epoch(epochs: Sequence[Epoch], monitor: MonitorName) -> int:
    """The number of the best epoch, counted from 1; of equally good ones the earliest."""
    values = [_gain(epoch, monitor) for epoch in epochs]
    return epochs[values.index(max(values))].epoch


def is_over(epochs: Sequence[Epoch], stopping: EarlyStopping | None, monitor: MonitorName) -> bool:
    """Whether training ends after these epochs, because as many in a row as the patience allows brought no gain."""
    if stopping is None:
        return False
    best, without_gain = -math.inf, 0
    for epoch in epochs:
        value = _gain(epoch, monitor)
        # The first figure is a gain over none at all, even where it is the worst possible.
        if value > best + stopping.min_gain or epoch is epochs[0]:
            best, without_gain = value, 0
        else:
            without_gain += 1
    return without_gain >= stopping.patience


def _gain(epoch: Epoch, monitor: MonitorName) -> float:
    value = monitored(epoch.validation, monitor)
    return value if monitor == "metric" else -value
