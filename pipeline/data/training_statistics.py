"""Mean and standard deviation of training data, for a network that is trained on them from the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline.engine.documents import Document

_PIECE_BYTES = 1 << 24
_EQUAL = float(np.finfo(np.float32).eps)


class Statistics(Document):
    """Mean and standard deviation of an input's raw values.

    Args:
        mean: mean of each channel of a picture, or of each column of numbers of a table.
        std: standard deviation of each, as of a whole population; 1 where all values are equal.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


def fit_statistics(values: NDArray[Any], spec: InputSpec) -> Statistics | None:
    """Mean and standard deviation of the values of one input, rounded to float32.

    Args:
        values: raw values (N, *shape), which may lie on disk: they are read twice, in pieces. NaN is left out.
        spec: the input: pictures (C, H, W), or rows of a table.

    Returns:
        The statistics of each channel or column of numbers; None where there are none: a table of categories alone,
        or an input of another kind.
    """
    if spec.columns:
        chosen = [index for index, column in enumerate(spec.columns) if not column.categories]
    elif len(spec.shape) == 3:
        chosen = list(range(spec.shape[0]))
    else:
        return None
    if not chosen:
        return None
    center, count = _moments(values, chosen, np.zeros(len(chosen)), power=1)
    mean = center / np.maximum(count, 1)
    square, _ = _moments(values, chosen, mean, power=2)
    std = np.sqrt(square / np.maximum(count, 1))
    # float32 values that are equal have a mean that may differ from them in its last digit.
    constant = std <= _EQUAL * np.abs(mean)
    return Statistics(mean=_rounded(mean), std=_rounded(np.where(constant, 1.0, std)))


def _moments(
    values: NDArray[Any], chosen: Sequence[int], center: NDArray[np.float64], *, power: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The sums of `(value - center) ** power` over examples and places, and the number of values, for each channel."""
    total, count = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.int64)
    rows = max(1, _PIECE_BYTES // max(1, values[:1].nbytes))
    for start in range(0, len(values), rows):
        piece = values[start : start + rows, chosen].reshape(len(values[start : start + rows]), len(chosen), -1)
        shifted = (piece.astype(np.float64) - center[:, np.newaxis]) ** power
        total += np.nansum(shifted, axis=(0, 2))
        count += (~np.isnan(shifted)).sum(axis=(0, 2))
    return total, count


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.astype(np.float32).astype(np.float64).tolist())
