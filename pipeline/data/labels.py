"""What labels must be, and what to do about targets of other tasks and of other forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import DataError


def check_labels(where: str, labels: Any, *, exactly: bool) -> None:
    """Check that labels are a class index for each example.

    Args:
        where: for messages.
        labels: of a split, or of a whole data set.
        exactly: whether they must be int64; else any integers will do.

    Raises:
        DataError: they are something else; the message says what, and what to do.
    """
    expected = f"{where}: labels: expected a class index for each example, {'int64' if exactly else 'integers'} (N,)"
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{expected}, found {type(labels).__name__}; give np.asarray(labels)")
    if labels.ndim == 1 and (labels.dtype == np.int64 if exactly else labels.dtype.kind in "iu"):
        return
    raise DataError(f"{expected}, found {labels.dtype} {labels.shape}; {_what_to_do(labels)}")


def _what_to_do(labels: np.ndarray[Any, Any]) -> str:
    numbers = labels.dtype.kind in "biuf"
    if labels.ndim > 2:
        return "a class for each pixel or step is another task: this product gives each example one class for now"
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "give labels[:, 0]"
    if labels.ndim == 2 and numbers and labels.size and np.isin(labels, (0, 1)).all():
        if (labels.sum(axis=1) == 1).all():
            return "they are one-hot: give labels.argmax(axis=1)"
        return "several classes for an example are another task: this product gives each example one class for now"
    if labels.ndim != 1:
        return "this product gives each example one class for now"
    if labels.dtype.kind in "USO":
        return f"give the position of each name, such as {labels[:1].tolist()}, in classes"
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        return "regression is another task: this product gives each example one class for now"
    return "give labels.astype(np.int64)"
