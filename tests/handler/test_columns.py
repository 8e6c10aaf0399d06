"""Rows of a table in requests: values by column name or in order, categories by their text."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.columns import Column, check_categories, columns_in_words, row_values, table_rows
from pipeline._handlers.decode import InputSpec

AGE, SEX, DECK = (
    Column(name="age"),
    Column(name="sex", categories=("female", "male")),
    Column(name="deck", categories=("1", "2", "A")),
)
COLUMNS = (AGE, SEX, DECK)


def spec(columns: tuple[Column, ...] = COLUMNS, **fields: Any) -> InputSpec:
    described: dict[str, Any] = {"dtype": "float32", "shape": (3,), "low": -math.inf, "high": math.inf, **fields}
    return InputSpec(name="features", columns=columns, **described)


@pytest.mark.parametrize(
    "row",
    [
        {"sex": "male", "deck": "2", "age": 3},
        {"sex": "male", "deck": 2, "age": 3.0},
        {"sex": "male", "deck": 2.0, "age": 3.0},
        [3.0, "male", "2"],
    ],
)
def test_a_row_by_names_or_in_order_becomes_numbers(row: Any) -> None:
    assert row_values(row, "instance 0", COLUMNS) == [3.0, 1.0, 1.0]


def test_columns_are_named_with_their_categories() -> None:
    assert columns_in_words(COLUMNS) == "age, sex (female, male), deck (1, 2, A)"


def test_a_missing_value_is_nan_in_any_column() -> None:
    assert np.isnan(row_values([None, None, math.nan], "instance 0", COLUMNS)).all()


def test_rows_can_be_written_again() -> None:
    rows: list[list[Any]] = [[3.5, "male", "A"], [None, "female", None]]
    array = np.array([row_values(row, "instance 0", COLUMNS) for row in rows], dtype=np.float32)
    assert table_rows(array, COLUMNS) == rows


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": 3, "sex": "male"}, "instance 4: wrong columns: expected the columns age, sex, deck, found no deck"),
        ({"age": 3, "sex": "male", "deck": "A", "x": 1}, "expected the columns age, sex, deck, found unknown x"),
        ([1.0, "male"], "wrong number of values: expected 3, one per column: age, sex, deck, found 2"),
        ([1.0, "men", "A"], 'column sex: unknown category: expected female, male, found "men"'),
        ([1.0, 1, "A"], "column sex: unknown category: expected female, male, found 1"),
        ([1.0, 10**400, "A"], "column sex: unknown category: expected female, male, found 1000"),
        ([1.0, True, "A"], "column sex: unknown category: expected female, male, found true"),
        ([1.0, "male", 3], "column deck: unknown category: expected 1, 2, A, found 3"),
        ([1.0, "male", {}], "column deck: unknown category: expected 1, 2, A, found an object"),
        (["old", "male", "A"], 'column age: wrong kind of value: expected a number, found "old"'),
        ([[1.0], "male", "A"], "column age: wrong kind of value: expected a number, found a list"),
        ([True, "male", "A"], "column age: wrong kind of value: expected a number, found true"),
    ],
)
def test_a_wrong_value_is_named_with_its_column(row: Any, message: str) -> None:
    with pytest.raises(BadRequest) as refusal:
        row_values(row, "instance 4", COLUMNS)
    assert message in str(refusal.value)
    assert refusal.value.status == 400


def test_raw_values_of_a_category_are_its_positions() -> None:
    check_categories(np.array([[1.5, 0, 2], [math.nan, math.nan, math.nan]], dtype=np.float32), "input x", COLUMNS)
    for wrong in (3.0, -1.0, 0.5):
        with pytest.raises(BadRequest, match="column deck: no position of a category: expected 0 to 2, of 1, 2, A"):
            check_categories(np.array([1.0, 0.0, wrong], dtype=np.float32), "input x", COLUMNS)


def test_columns_are_written_only_where_there_are_some() -> None:
    assert InputSpec.from_json(json.loads(json.dumps(spec().to_json()))) == spec()
    assert spec().to_json()["columns"][:2] == [{"name": "age"}, {"name": "sex", "categories": ["female", "male"]}]
    assert "columns" not in spec(columns=()).to_json()


@pytest.mark.parametrize(
    ("columns", "fields", "message"),
    [
        ((AGE, SEX, AGE), {}, "expected each name once, found twice: age"),
        ((AGE, SEX), {}, r"expected an input of float32 \(2,\), one value per column, found float32 \(3,\)"),
        (COLUMNS, {"dtype": "int64"}, r"found int64 \(3,\)"),
    ],
)
def test_columns_that_do_not_fit_their_input(columns: tuple[Column, ...], fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(columns, **fields)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "column: KeyError"),
        ({"name": "a", "unit": "cm"}, "column: TypeError"),
        ({"name": "a\n"}, "expected text without control characters"),
        ({"name": "a", "categories": ["x", "x"]}, "column a: categories: expected each once"),
        ({"name": "a", "categories": [1]}, "column a: categories: expected text"),
        ({"name": "a", "categories": [str(number) for number in range(1001)]}, "expected at most 1000, found 1001"),
    ],
)
def test_a_document_that_is_no_column(document: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Column.from_json(document)
