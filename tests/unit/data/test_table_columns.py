"""What columns of a table hold: found, declared, shown, and refused where it is neither."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.data.table_columns import ColumnFinder, ColumnKind, FoundColumn
from pipeline.errors import DataError


def find(
    cells: Sequence[str], declared: ColumnKind | None = None, *, missing: bool = False, piece: int = 4
) -> FoundColumn:
    finder = ColumnFinder(Path("rows.csv"), ["a"], {} if declared is None else {"a": declared})
    for start in range(0, len(cells), piece):
        finder.add([cells[start : start + piece]])
    [column] = finder.find(missing=missing)
    return column


@pytest.mark.parametrize(
    ("cells", "line"),
    [
        (["3", "-1.5", "2e1"], "column a: number, -1.5 to 20"),
        (["3", "1", "", "nan", "?", "NA"], "column a: number, 1 to 3; missing in 4 rows"),
        (["x", "y", "x", "y", "x"], "column a: category of 2: x, y"),
        (["x", "", "NA", "y"], "column a: category of 3: NA, x, y; missing in 1 rows"),
        (["10", "B", "9", "C", "D"], "column a: category of 5: 9, 10, B, C, D"),
        ([f"v{number:02d}" for number in range(14)], "column a: category of 14: v00, .* v11 and 2 more"),
        (
            [str(number) for number in range(5, 15)],
            'column a: number, 5 to 14; it numbers the rows: .* data.columns.a = "ignore"',
        ),
        (["1", "2", "3", "5"], "column a: number, 1 to 5$"),
    ],
)
def test_what_a_column_holds_is_found_and_shown(cells: list[str], line: str) -> None:
    import re

    assert re.match(line, str(find(cells, missing=True)))


def test_what_is_declared_counts() -> None:
    assert find(["1", "0", "10", "9"], "category").column.categories == ("0", "1", "9", "10")
    assert find(["m", "f", ""], ("m", "f", "x"), missing=True).column.categories == ("m", "f", "x")
    assert find(["1", "2"], "number").column.categories == ()


@pytest.mark.parametrize(
    ("cells", "declared", "message"),
    [
        (["1", "2", "x", "3"], None, "row 4, column a: expected a number, as in 3 other rows, found 'x'; mend it, or"),
        (["1", "2", "x", "3"], "number", "row 4, column a: expected a number, as data.columns declares, found 'x'"),
        ([f"name {number}" for number in range(2000)], None, "at most 1000 different texts, found more, such as 'name"),
        (["", ""], None, 'column a: expected values, found none; leave it out: data.columns.a = "ignore"'),
        (["", ""], "category", "column a: expected values, found none"),
        (["1", "inf"], None, "column a: expected finite numbers"),
        (["1", "1e39"], None, "column a: expected finite numbers of at most 3.4.* found 1 to 1e"),
        (["1", "2", "", "4"], None, r"row 4, column a: expected a value, found none; .* missing in a \(1\): fill"),
        (["x", "y", "z", "x", ""], None, r"row 6, column a: expected a value, found none; .* data.missing = true"),
        (["x\ty", "z"], None, "column a: categories: expected text without control characters"),
    ],
)
def test_what_a_column_must_not_hold(cells: list[str], declared: ColumnKind | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find(cells, declared)


def test_a_column_of_texts_may_begin_with_numbers() -> None:
    assert find(["1", "2", "3", "4", "A", "B", "C", "D", "E", "F"], piece=4).column.categories == (
        *"1234",
        *"ABCDEF",
    )
