"""Cells of a table: what separates them, what is a number or a missing value, and where a cell stands."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Texts that stand for no number, besides the empty cell. They say so only in a column of numbers: among categories,
# NA may be a country, and none an answer.
MISSING_NUMBERS = frozenset({"", "na", "n/a", "nan", "null", "none", "?"})
_SEPARATORS = ",;\t|"

# Cells of some rows, one sequence for each column; a missing value is an empty text.
Piece = Sequence[Sequence[str]]


def separator_of(line: str) -> str:
    """The separator that stands most often in the first line of a table, outside quotes."""
    outside = "".join(line.split('"')[::2])
    return max(_SEPARATORS, key=outside.count)


def number_of(text: str) -> float | None:
    """The number that a cell holds, with a point before its fraction; None where it holds none, or NaN.

    Args:
        text: the cell, with or without spaces around it.
    """
    try:
        number = float(text)
    except ValueError:
        return None
    # Python reads `1_000` as a number, and no other program writes it.
    return None if math.isnan(number) or "_" in text else number


def numbers_of(cells: Sequence[str]) -> NDArray[np.float64] | None:
    """The numbers of cells, (N,) float64; None where a cell holds none."""
    try:
        numbers = np.array(list(map(float, cells)), dtype=np.float64)
    except ValueError:
        return None
    return None if np.isnan(numbers).any() or any("_" in cell for cell in cells) else numbers


def place_of(row: int, column: str) -> str:
    """Where a cell stands, for messages.

    Args:
        row: index of the row, 0 for the first below the header; a spreadsheet shows that one as row 2.
        column: name of the column.
    """
    return f"row {row + 2}, column {column}"
