"""Targets of a regression: what is taken, what is refused, and what training data says of middle and spread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, describe
from pipeline.errors import DataError, UsageError
from pipeline.recipe.task import Regression
from pipeline.tasks.table import task_named, task_of

SPEC = InputSpec(name="x", dtype="float32", shape=(2,), low=-9, high=9)


def make(labels: Any, classes: tuple[str, ...] = ("price",)) -> DataSet:
    inputs = {"x": np.zeros((len(labels), 2), np.float32)}
    return DataSet.from_arrays("d", inputs, labels, classes=classes, specs=[SPEC], task="regression")


def test_one_column_may_be_a_row_of_numbers_and_training_data_gives_middle_and_spread() -> None:
    data = make(np.arange(100) * 10)
    train = data.train.labels
    assert train is not None
    assert train.shape == (60, 1)
    assert train.dtype == np.float32
    settings = describe(data, Regression(tolerance=(20.0,))).task
    assert isinstance(settings, Regression)
    assert settings.center == pytest.approx(train.mean(axis=0, dtype=np.float64))
    assert settings.scale == pytest.approx(train.std(axis=0, dtype=np.float64))
    standard = task_of(settings).standard(train)
    assert standard is not None
    assert [tuple(values) for values in standard] == [settings.center, settings.scale]
    given = describe(data, Regression(tolerance=(20.0,), center=(0.0,), scale=(7.0,))).task
    assert isinstance(given, Regression)
    assert (given.center, given.scale) == ((0.0,), (7.0,))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.array([1.0, np.nan, np.inf] * 4), "found 8 that are not, the first in example 1, output 0: nan"),
        (np.array(["1", "2"] * 5), "give a column of numbers for each output"),
        (np.zeros((10, 2)), "expected 1 columns, one per output, found 2"),
        (np.zeros((10, 1, 3)), "give a column of numbers for each output"),
    ],
)
def test_targets_that_are_refused(labels: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        make(labels)


def test_a_target_that_never_changes_is_named() -> None:
    labels = np.stack([np.arange(50), np.full(50, 3)], axis=1)
    with pytest.raises(DataError, match=r"expected different values of weight, found 3 alone; leave this output out"):
        describe(make(labels, ("price", "weight")), Regression(tolerance=(1.0,)))


def test_settings_have_one_value_or_one_for_each_output() -> None:
    data = make(np.arange(40).reshape(20, 2), ("price", "weight"))
    for settings, key in (
        (Regression(tolerance=(1.0, 2.0, 3.0)), "tolerance"),
        (Regression(tolerance=(1.0,), units=("a", "b", "c")), "units"),
        (Regression(tolerance=(1.0,), scale=(1.0, 2.0, 3.0)), "scale"),
    ):
        with pytest.raises(UsageError, match=rf"task\.{key}: expected 1 value or 2, one per output, found 3"):
            describe(data, settings)


def test_names_of_outputs_are_printable() -> None:
    with pytest.raises(DataError, match="expected names of printable characters"):
        make(np.arange(40), ("pri\x1bce",))


@pytest.mark.parametrize(
    ("shape", "outputs", "advice"),
    [
        ((4,), 1, ".unsqueeze(1)"),
        ((2, 4), 2, "the batch axis comes first"),
        ((4, 2, 1), 2, ".flatten(1)"),
        ((4, 3), 2, "give the last layer 2 outputs, or the data 3 columns of targets"),
        ((), 2, "end it in a layer of 2 outputs"),
    ],
)
def test_advice_on_other_shapes(shape: tuple[int, ...], outputs: int, advice: str) -> None:
    assert advice in task_named("regression").reshaping(shape, rows=4, outputs=outputs)
