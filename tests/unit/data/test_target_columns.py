"""Targets from the cells of a table, for each task, and what is said of cells that are no targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.target_columns import read_targets
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, MultiLabel, Regression, TaskSettings

TASKS: dict[str, TaskSettings] = {
    "classification": Classification(),
    "multi-label": MultiLabel(),
    "regression": Regression(tolerance=(1.0,)),
}


def read(kind: str, columns: dict[str, list[str]]) -> tuple[NDArray[Any], tuple[str, ...]]:
    return read_targets(columns, TASKS[kind], where="rows.csv")


def test_texts_become_positions_of_sorted_names() -> None:
    labels, names = read("classification", {"animal": ["dog", " cat ", "dog"]})
    assert names == ("cat", "dog")
    assert labels.dtype == np.int64
    assert labels.tolist() == [1, 0, 1]


def test_whole_numbers_keep_their_order() -> None:
    labels, names = read("classification", {"digit": ["10", "2", "10", "9"]})
    assert names == ("2", "9", "10")
    assert labels.tolist() == [2, 0, 2, 1]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"tags": ["red;round", "", "round; big"]}, ("big", "red", "round")),
        ({"tags": ["red|round", "", "round| big"]}, ("big", "red", "round")),
        ({"tags": ["red round", "", "round  big"]}, ("big", "red", "round")),
        ({"big": ["0", "0", "1"], "red": ["1", "false", "0.0"], "round": ["True", "0", "1"]}, ("big", "red", "round")),
    ],
)
def test_labels_stand_in_one_column_or_in_one_each(columns: dict[str, list[str]], names: tuple[str, ...]) -> None:
    flags, found = read("multi-label", columns)
    assert found == names
    assert flags.dtype == np.uint8
    assert flags.tolist() == [[0, 1, 1], [0, 0, 0], [1, 0, 1]]


def test_a_label_may_hold_spaces_where_another_separator_is_there() -> None:
    assert read("multi-label", {"tags": ["fire truck;red", "fire truck"]})[1] == ("fire truck", "red")


def test_numbers_become_float32() -> None:
    values, names = read("regression", {"price": ["1", " 2.5 "], "area": ["-1e3", "0"]})
    assert names == ("price", "area")
    assert values.dtype == np.float32
    assert values.tolist() == [[1.0, -1000.0], [2.5, 0.0]]


@pytest.mark.parametrize(
    ("kind", "columns", "message"),
    [
        ("classification", {"a": ["x", ""]}, "row 3, column a: expected a target, found an empty cell"),
        ("classification", {"a": ["x"], "b": ["y"]}, "expected one column of classes for classification, found a, b"),
        ("classification", {"a": ["1.5", "2"]}, 'found the number 1.5; .* say kind = "regression"'),
        ("classification", {"a": [str(number) for number in range(50)]}, "found 50 numbers in 50 rows"),
        ("multi-label", {"a": ["1", "2"], "b": ["0", "1"]}, "row 3, column a: expected 0 or 1, found '2'"),
        ("multi-label", {"a": ["1", "", "0"]}, "row 3, column a: expected 0 or 1, found ''"),
        ("regression", {"a": ["1", " "]}, "row 3, column a: expected a target, found an empty cell"),
        ("regression", {"a": ["1", "1,5"]}, "row 3, column a: expected a number, found '1,5'"),
        ("regression", {"a": ["1", "inf"]}, "row 3, column a: expected a number, found 'inf'"),
        ("regression", {"a": ["1", "1e300"]}, "row 3, column a: expected a number, found '1e300'"),
        ("regression", {"a": ["1", "nan"]}, "row 3, column a: expected a number, found 'nan'"),
        ("regression", {}, "expected a column of targets for regression, found none"),
    ],
)
def test_a_cell_that_is_no_target_is_named(kind: str, columns: dict[str, list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(kind, columns)
