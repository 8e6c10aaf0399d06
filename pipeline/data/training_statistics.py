"""Mean and standard deviation of training data, for a network that is trained on them from the start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline.engine.array_files import pieces
from pipeline.engine.documents import Document

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
        values: raw values (N, *shape), which may lie on disk: they are read in pieces. NaN is left out.
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
    mean, std = _of_bytes(values) if values.dtype == np.uint8 else _of_numbers(values, chosen)
    # float32 values that are equal have a mean that may differ from them in its last digit.
    constant = std <= _EQUAL * np.abs(mean)
    return Statistics(mean=_rounded(mean), std=_rounded(np.where(constant, 1.0, std)))


def _of_bytes(pixels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the deviation of each channel of pictures (N, C, H, W) uint8, by counting each of 256 values."""
    counts = np.zeros((pixels.shape[1], 256))
    for rows in pieces(pixels):
        for channel, values in enumerate(np.swapaxes(pixels[rows], 0, 1)):
            counts[channel] += np.bincount(values.ravel(), minlength=256)
    shares = counts / counts.sum(axis=1, keepdims=True)
    levels = np.arange(256.0)
    mean = shares @ levels
    variance = (shares * (levels - mean[:, np.newaxis]) ** 2).sum(axis=1)
    return mean, np.sqrt(variance)


def _of_numbers(values: NDArray[Any], chosen: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and the deviation of columns of rows (N, F), or of channels of pictures (N, C, H, W)."""
    center, count = _moments(values, chosen, np.zeros(len(chosen)), power=1)
    mean = center / np.maximum(count, 1)
    square, _ = _moments(values, chosen, mean, power=2)
    return mean, np.sqrt(square / np.maximum(count, 1))


def _moments(
    values: NDArray[Any], chosen: Sequence[int], center: NDArray[np.float64], *, power: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The sums of `(value - center) ** power` over examples and places, and the number of values, for each channel."""
    total, count = np.zeros(len(chosen)), np.zeros(len(chosen), dtype=np.int64)
    for rows in pieces(values):
        part = values[rows]
        piece = part[:, chosen].reshape(len(part), len(chosen), -1)
        shifted = (piece.astype(np.float64) - center[:, np.newaxis]) ** power
        total += np.nansum(shifted, axis=(0, 2))
        count += (~np.isnan(shifted)).sum(axis=(0, 2))
    return total, count


def _rounded(values: NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(values.astype(np.float32).astype(np.float64).tolist())
