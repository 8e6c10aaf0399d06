"""Check labels and answers, and say what to do about those of other tasks and in other forms."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.errors import DataError


def check_labels(where: str, labels: Any, *, exactly: bool) -> None:
    """Check that labels are a class index for each example.

    Args:
        where: place of the labels, for messages.
        labels: labels of a split, or of a whole data set.
        exactly: whether they must be int64; else any integers will do.

    Raises:
        DataError: the labels are something else; the message says what, and what to do.
    """
    expected = f"{where}: labels: expected a class index for each example, {'int64' if exactly else 'integers'} (N,)"
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{expected}, found {type(labels).__name__}; give np.asarray(labels)")
    if labels.ndim == 1 and (labels.dtype == np.int64 if exactly else labels.dtype.kind in "iu"):
        return
    raise DataError(f"{expected}, found {labels.dtype} {labels.shape}; {_advice(labels)}")


def _advice(labels: np.ndarray[Any, Any]) -> str:
    numbers = labels.dtype.kind in "biuf"
    if labels.ndim > 2:
        return "a class for each pixel or step is another task, which this product does not have"
    if labels.dtype.kind == "f" and not (np.isfinite(labels) & (labels == np.rint(labels))).all():
        return 'regression is another task: task="regression" of the DataSet, and task.kind'
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "give labels[:, 0]"
    if labels.ndim == 2 and numbers and labels.size and np.isin(labels, (0, 1)).all():
        if (labels.sum(axis=1) == 1).all():
            return "they are one-hot: give labels.argmax(axis=1)"
        return 'several classes for an example are another task: task="multi-label" of the DataSet, and task.kind'
    if labels.ndim != 1:
        return "this task gives each example one class"
    if labels.dtype.kind in "USO":
        return f"give the position of each name, such as {labels[:1].tolist()}, in classes"
    return "give labels.astype(np.int64)"


def reshaping(shape: tuple[int, ...], rows: int, classes: int) -> str:
    """Advice on outputs of another shape than (rows, classes), as the end of a message."""
    match shape:
        case ():
            return "return the outputs of the classes; a loss is computed by train.loss"
        case (first, *others) if first == rows and sum(others) == len(others):
            if classes > 1:
                return (
                    f"this task tells classes apart, with an output for each: end in a layer of {classes} outputs, or "
                    'set task.kind = "regression" for numbers'
                )
        case (first, second) if first == rows:
            return (
                f"give the last layer {classes} outputs, or the data the {second} classes that the network tells apart"
            )
        case (first, second) if (second, first) == (rows, classes):
            return "the batch axis comes first: transpose it"
        case (first, second, *others) if (first, second) == (rows, classes) and sum(others) == len(others):
            return "end its forward with .flatten(1)"
        case (first, *_) if first == rows:
            return "each example has one class here, not one for each pixel or step: pool them to one answer an example"
        case _:
            pass
    return "as many examples must come out, along the first axis, as went in"
