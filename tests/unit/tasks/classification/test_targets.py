"""Targets of other tasks, and labels in other forms, are named with what to do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, Split
from pipeline.errors import DataError

SPEC = InputSpec(name="x", dtype="float32", shape=(2,), low=-9, high=9)
VALUES = np.zeros((4, 2), np.float32)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([0.3, 1.7, 2.0, 0.1]), r"found float64 \(4,\); regression is another task"),
        (np.array([0.0, np.nan, 1.0, 1.0]), r"found float64 \(4,\); regression is another task"),
        (np.array([0.0, 1.0, 1.0, 0.0]), r"found float64 \(4,\); give labels\.astype\(np\.int64\)"),
        (np.array([False, True, True, False]), r"found bool \(4,\); give labels\.astype\(np\.int64\)"),
        (np.zeros((4, 5, 5), np.int64), r"found int64 \(4, 5, 5\); a class for each pixel or step is another task"),
        (np.eye(4, dtype=np.float32), r"found float32 \(4, 4\); they are one-hot: give labels\.argmax\(axis=1\)"),
        (np.array([[1, 1], [0, 1], [0, 0], [1, 0]]), r"several classes for an example are another task"),
        (np.array([[0], [1], [2], [1]]), r"found int64 \(4, 1\); give labels\[:, 0\]"),
        (np.array(["cat", "dog", "cat", "dog"]), r"give the position of each name, such as \['cat'\], in classes"),
        (np.array([[0.5, 1.5]] * 4), r"found float64 \(4, 2\); regression is another task"),
    ],
)
def test_targets_that_are_no_class_indices(labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=text) as caught:
        DataSet.from_arrays("d", {"x": VALUES}, labels, classes=["a", "b"], specs=[SPEC])
    assert "\n" not in str(caught.value)
    split = Split(inputs={"x": VALUES}, labels=labels)
    with pytest.raises(DataError, match=text):
        DataSet(name="d", train=split, validation=split, test=split, classes=("a", "b"), inputs=(SPEC,))


def test_arrays_of_other_libraries_are_named() -> None:
    tensors: Any = Split(inputs={"x": VALUES}, labels=torch.tensor([0, 1, 0, 1]))  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"labels: expected .* found Tensor; give np\.asarray\(labels\)"):
        DataSet(name="d", train=tensors, validation=tensors, test=tensors, classes=("a", "b"), inputs=(SPEC,))
    inputs: Any = Split(inputs={"x": torch.from_numpy(VALUES)}, labels=np.array([0, 1, 0, 1]))  # type: ignore[dict-item]
    with pytest.raises(DataError, match=r"input x: expected a numpy array, found Tensor; give np\.asarray"):
        DataSet(name="d", train=inputs, validation=inputs, test=inputs, classes=("a", "b"), inputs=(SPEC,))
    listed: Any = [0, 1] * 10
    whole = DataSet.from_arrays("d", {"x": np.zeros((20, 2), np.float32)}, listed, classes=["a", "b"], specs=[SPEC])
    assert len(whole.train) == 12
