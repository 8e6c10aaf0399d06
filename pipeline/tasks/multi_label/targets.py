"""Check the labels of examples with any number of them, and say what to do about those in other forms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError


def check_labels(where: str, labels: Any, *, exactly: bool) -> None:
    """Check that labels say 0 or 1 for each example and label.

    Args:
        where: place of the labels, for messages.
        labels: labels of a split, or of a whole data set.
        exactly: whether they must be uint8; else any numbers or truth values will do.

    Raises:
        DataError: the labels are something else; the message says what, and what to do.
    """
    expected = (
        f"{where}: labels: expected 0 or 1 for each example and label, {'uint8' if exactly else 'numbers'} (N, K)"
    )
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{expected}, found {type(labels).__name__}; give np.asarray(labels)")
    if labels.ndim == 2 and (labels.dtype == np.uint8 if exactly else labels.dtype.kind in "biuf"):
        return
    raise DataError(f"{expected}, found {labels.dtype} {labels.shape}; {_advice(labels)}")


def check_values(where: str, labels: NDArray[Any], *, outputs: int) -> None:
    """Check that there is a column for each output, and that values are 0 or 1.

    Raises:
        DataError: the message names the first wrong value, with its example and label.
    """
    if labels.shape[1] != outputs:
        raise DataError(f"{where}: labels: expected {outputs} columns, one per label, found {labels.shape[1]}")
    wrong = (labels != 0) & (labels != 1)
    if wrong.any():
        row, column = (int(place) for place in np.argwhere(wrong)[0])
        raise DataError(
            f"{where}: labels: expected 0 or 1, found {labels[row, column]} in example {row}, label {column}"
        )


def rarest_labels(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Find for each example the rarest of its labels, (N,), so that splits hold the same shares of rare labels.

    Args:
        labels: labels (N, K). Examples without any belong together, under number K.
    """
    counts = labels.sum(axis=0, dtype=np.int64)
    count_of = np.where(labels == 1, counts, np.iinfo(np.int64).max)
    rarest = count_of.argmin(axis=1)
    groups: NDArray[np.int64] = np.where(labels.any(axis=1), rarest, labels.shape[1]).astype(np.int64)
    return groups


def reshaping(shape: tuple[int, ...], rows: int, labels: int) -> str:
    """Advice on outputs of another shape than (rows, labels), as the end of a message."""
    match shape:
        case (first, second) if (second, first) == (rows, labels):
            return "the batch axis comes first: transpose it"
        case (first,) if first == rows and labels == 1:
            return "end its forward with .unsqueeze(1)"
        case (first, second, *others) if (first, second) == (rows, labels) and sum(others) == len(others):
            return "end its forward with .flatten(1)"
        case (first, second) if first == rows:
            return f"give the last layer {labels} outputs, or the data the {second} labels that the network knows"
        case _:
            return f"end it in a layer of {labels} outputs, one per label, for each example"


def _advice(labels: np.ndarray[Any, Any]) -> str:
    if labels.ndim == 1 and labels.dtype.kind in "biu" and labels.size and set(np.unique(labels).tolist()) <= {0, 1}:
        return "for a single label, give labels[:, np.newaxis]"
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        return 'one class for each example is another task: task.kind = "classification"'
    if labels.ndim == 1:
        return "give a column of 0 and 1 for each label"
    if labels.ndim != 2:
        return "labels for each pixel or step are another task: this product gives them to whole examples"
    return "give labels.astype(np.uint8)"
