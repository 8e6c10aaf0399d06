"""Cells as the numbers that a network takes, and the digests by which rows are split."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline._handlers.columns import Column
from pipeline.data.table_values import row_digests, row_numbers
from pipeline.errors import DataError

COLUMNS = (Column(name="age"), Column(name="sex", categories=("female", "male")))


def test_numbers_stay_and_categories_become_positions() -> None:
    values = row_numbers([["1.5", "-2"], ["male", "female"]], COLUMNS, where="rows.csv")
    assert values.dtype == np.float32
    assert values.tolist() == [[1.5, 1.0], [-2.0, 0.0]]


def test_missing_values_are_nan_where_they_may_be() -> None:
    values = row_numbers([["1", "", "NA"], ["", "male", "male"]], COLUMNS, where="rows.csv", missing=True)
    np.testing.assert_array_equal(values, [[1, np.nan], [np.nan, 1], [np.nan, 1]])


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([["1", "x"], ["male", "male"]], "rows.csv: row 13, column age: expected a number, found 'x'"),
        ([["1", "1e99"], ["male", "male"]], "row 13, column age: expected a number, found '1e99'"),
        ([["1", "nan"], ["male", "male"]], "row 13, column age: expected a value, found none"),
        ([["1", "2"], ["male", ""]], "row 13, column sex: expected a value, found none"),
        ([["1", "2"], ["males", "male"]], "row 12, column sex: expected one of female, male, found 'males'"),
    ],
)
def test_a_wrong_cell_is_named_with_row_and_column(cells: list[list[str]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        row_numbers(cells, COLUMNS, where="rows.csv", first_row=10)


def test_rows_of_equal_values_have_one_digest() -> None:
    cells = [["1", "1.0", "0", "-0.0", "2", "", ""], ["male", "male", "male", "male", "male", "male", ""]]
    digests = row_digests(row_numbers(cells, COLUMNS, where="rows.csv", missing=True), COLUMNS)
    assert digests[0] == digests[1]
    assert digests[2] == digests[3]
    assert len(set(digests)) == 5


def test_a_row_keeps_its_digest_when_categories_are_added() -> None:
    more = (COLUMNS[0], Column(name="sex", categories=("diverse", "female", "male")))
    first, second = (
        row_digests(row_numbers([["1"], ["male"]], columns, where="rows.csv"), columns) for columns in (COLUMNS, more)
    )
    assert first == second
