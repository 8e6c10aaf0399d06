"""The history of an ensemble: the means of its members' figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import zip_longest
from typing import Any

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
    means = {field.name: _mean_value([getattr(each, field.name) for each in metrics]) for field in fields(Metrics)}
    return Metrics(**means)


def _mean_value(values: Sequence[Any]) -> Any:
    """The mean of numbers, or of the numbers under each name; None where a value is unknown."""
    if any(value is None for value in values):
        return None
    if isinstance(values[0], Mapping):
        return {name: _mean_value([value[name] for value in values]) for name in values[0]}
    return sum(values) / len(values)
