"""Cells of a table."""

from __future__ import annotations

import pytest

from pipeline.data.table_cells import separator_of


@pytest.mark.parametrize(
    ("line", "separator"),
    [("a,b;c,d", ","), ('"x,y,z";b;c', ";"), ("a\tb", "\t"), ("a|b|c,d", "|"), ("alone", ",")],
)
def test_the_separator_stands_most_often_outside_quotes(line: str, separator: str) -> None:
    assert separator_of(line) == separator
