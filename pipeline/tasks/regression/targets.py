"""Check the numbers that a regression learns, and say what to do about those in other forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, UsageError


def check_numbers(where: str, targets: Any, *, exactly: bool) -> None:
    """Check that targets are one or several numbers for each example.

    Args:
        where: place of the targets, for messages.
        targets: targets of a split, or of a whole data set.
        exactly: whether they must be float32 (N, K); else any numbers (N,) or (N, K) will do.

    Raises:
        DataError: the targets are something else; the message says what, and what to do.
    """
    form = "float32 (N, K)" if exactly else "(N,) or (N, K)"
    expected = f"{where}: labels: expected one or several numbers for each example, {form}"
    if not isinstance(targets, np.ndarray):
        raise DataError(f"{expected}, found {type(targets).__name__}; give np.asarray(labels)")
    if exactly:
        if targets.ndim == 2 and targets.dtype == np.float32:
            return
        advice = "labels[:, np.newaxis]" if targets.ndim == 1 else "labels.astype(np.float32)"
        raise DataError(f"{expected}, found {targets.dtype} {targets.shape}; give {advice}")
    if targets.ndim not in (1, 2) or targets.dtype.kind not in "biuf":
        raise DataError(f"{expected}, found {targets.dtype} {targets.shape}; give a column of numbers for each output")


def check_values(where: str, targets: NDArray[Any], *, outputs: int) -> None:
    """Check that there is a column for each output, and that values are finite.

    Raises:
        DataError: the message says how many values are not finite, and where the first one is.
    """
    if targets.shape[1] != outputs:
        raise DataError(f"{where}: labels: expected {outputs} columns, one per output, found {targets.shape[1]}")
    broken = ~np.isfinite(targets)
    if broken.any():
        row, column = (int(place) for place in np.argwhere(broken)[0])
        raise DataError(
            f"{where}: labels: expected finite numbers, found {broken.sum()} that are not, the first in example {row}, "
            f"output {column}: {targets[row, column]}; leave their examples out"
        )


def check_count(key: str, count: int, names: Sequence[str]) -> None:
    """Check that a setting has no value, one value, or one for each output.

    Args:
        key: key of the setting.
        count: number of its values.
        names: names of the outputs.

    Raises:
        UsageError: it has another number of values.
    """
    if count not in (0, 1, len(names)):
        raise UsageError(
            f"{key}: expected 1 value or {len(names)}, one per output, found {count}; the outputs are "
            f"{', '.join(names)}"
        )


def reshaping(shape: tuple[int, ...], rows: int, outputs: int) -> str:
    """Advice on answers of another shape than (rows, outputs), as the end of a message."""
    match shape:
        case (first,) if first == rows and outputs == 1:
            return "end its forward with .unsqueeze(1)"
        case (first, second) if (second, first) == (rows, outputs):
            return "the batch axis comes first: transpose it"
        case (first, second, *others) if (first, second) == (rows, outputs) and sum(others) == len(others):
            return "end its forward with .flatten(1)"
        case (first, second) if first == rows:
            return f"give the last layer {outputs} outputs, or the data {second} columns of targets"
        case _:
            return f"end it in a layer of {outputs} outputs, one per number, for each example"
