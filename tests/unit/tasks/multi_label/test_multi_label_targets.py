"""Labels of examples with any number of them: what is taken, what is refused, and what to do then."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, describe
from pipeline.errors import DataError, UsageError
from pipeline.recipe.task import MultiLabel
from pipeline.tasks.table import task_named

SPEC = InputSpec(name="x", dtype="float32", shape=(2,), low=-9, high=9)


def make(labels: Any, classes: tuple[str, ...] = ("beach", "snow")) -> DataSet:
    inputs = {"x": np.zeros((len(labels), 2), np.float32)}
    return DataSet.from_arrays("d", inputs, labels, classes=classes, specs=[SPEC], task="multi-label")


def test_rare_labels_are_in_all_splits_in_the_same_shares() -> None:
    labels = np.zeros((1000, 2), bool)
    labels[:500, 0] = True
    labels[:20, 1] = True
    data = make(labels)
    assert data.train.labels is not None
    assert data.train.labels.dtype == np.uint8
    counts = {name: tuple(count) for name, count in describe(data, MultiLabel()).class_counts.items()}
    assert counts == {"train": (300, 12), "validation": (100, 4), "test": (100, 4)}
    assert describe(data, MultiLabel()).gaps == (
        (
            "validation holds 8 examples or fewer of label snow (4): with so few, a quarter of such a label may be "
            "lost unseen"
        ),
        "test holds 8 examples or fewer of label snow (4): with so few, a quarter of such a label may be lost unseen",
    )


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([[0, 1], [2, 0]] * 5), "expected 0 or 1, found 2 in example 1, label 0"),
        (np.array([[0.5, 1], [0, 0]] * 5), "expected 0 or 1, found 2 in example 0, label 0"),
        (np.array([0, 1] * 5), r"for a single label, give labels\[:, np.newaxis\]"),
        (np.array([0, 3] * 5), r"one class for each example is another task: task\.kind = \"classification\""),
        (np.array(["a;b", "b"] * 5), "give a column of 0 and 1 for each label"),
        (np.zeros((10, 3)), "expected 2 columns, one per label, found 3"),
        (np.zeros((10, 2, 4)), "labels for each pixel or step are another task"),
    ],
)
def test_labels_that_are_refused(labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        make(labels)


def test_there_is_one_threshold_or_one_for_each_label() -> None:
    data = make(np.array([[0, 1], [1, 0]] * 20))
    assert describe(data, MultiLabel(threshold=(0.3, 0.4))).task == MultiLabel(threshold=(0.3, 0.4))
    with pytest.raises(UsageError, match=r"task\.threshold: expected 1 number or 2, one per label, found 3"):
        describe(data, MultiLabel(threshold=(0.3, 0.4, 0.5)))
    with pytest.raises(
        DataError, match=r"expected data for regression, as task\.kind says, found data for multi-label"
    ):
        describe(data, task_named("regression", {"tolerance": [1]}).settings)


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((2, 4), "the batch axis comes first"),
        ((4, 2, 1, 1), r"\.flatten\(1\)"),
        ((4, 3), "give the last layer 2 outputs"),
        ((4, 2, 7, 7), "end it in a layer of 2 outputs, one per label"),
    ],
)
def test_advice_on_other_shapes(shape: tuple[int, ...], advice: str) -> None:
    found = task_named("multi-label").reshaping(shape, rows=4, outputs=2)
    assert advice.replace("\\", "") in found
