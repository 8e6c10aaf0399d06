"""The history of an ensemble: the means of its members' figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest

from pipeline.training.history import Epoch, Metrics


def mean_epochs(histories: Sequence[Sequence[Epoch]]) -> tuple[Epoch, ...]:
    """The mean figures of each epoch, over those members that were trained so long.

    Args:
        histories: epochs of each member, in order.
    """
    return tuple(
        _mean([epoch for epoch in epochs if epoch is not None]) for epochs in zip_longest(*histories, fillvalue=None)
    )


def _mean(epochs: Sequence[Epoch]) -> Epoch:
    return replace(
        epochs[0],
        train=_mean_metrics([epoch.train for epoch in epochs]),
        validation=_mean_metrics([epoch.validation for epoch in epochs]),
    )


def _mean_metrics(metrics: Sequence[Metrics]) -> Metrics:
    return replace(
        metrics[0],
        loss=_mean_value([figures.loss for figures in metrics]),
        score=sum(figures.score for figures in metrics) / len(metrics),
        plain_loss=_mean_value([figures.plain_loss for figures in metrics]),
    )


def _mean_value(values: Sequence[float | None]) -> float | None:
    """The mean; None where a value is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
