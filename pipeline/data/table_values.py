"""Cells of a table as the numbers that a network takes: numbers as they are, positions of categories, NaN for none."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.columns import Column, categories_in_words
from pipeline.data.table_cells import MISSING_NUMBERS, Piece, number_of, numbers_of, place_of
from pipeline.errors import DataError

_DIGEST_BYTES = 16
_LARGEST = float(np.finfo(np.float32).max)


def row_numbers(
    cells: Piece, columns: Sequence[Column], *, where: str, first_row: int = 0, missing: bool = False
) -> NDArray[np.float32]:
    """Turn rows of a table into the values of an input.

    Args:
        cells: cells of each column, in the order of `columns`.
        columns: columns of the input.
        where: name of the table, for messages.
        first_row: index of the first of these rows in the table, for messages.
        missing: whether values may be missing.

    Returns:
        (N, F) float32.

    Raises:
        DataError: a cell is no value of its column; it is named with its row and column.
    """
    values = np.empty((len(cells[0]), len(columns)), dtype=np.float32)
    for index, (column, texts) in enumerate(zip(columns, cells, strict=True)):
        numbers = None if column.categories else numbers_of(texts)
        if numbers is not None and np.abs(numbers).max(initial=0.0) <= _LARGEST:
            values[:, index] = numbers
            continue
        cell_value = _category if column.categories else _number
        for row, text in enumerate(texts):
            value = cell_value(text, column)
            if value is None or (math.isnan(value) and not missing):
                raise _wrong_cell(f"{where}: {place_of(first_row + row, column.name)}", text, column, value)
            values[row, index] = value
    return values


def row_digests(values: NDArray[np.float32], columns: Sequence[Column]) -> list[str]:
    """Digest what stands in each row, in hexadecimal digits: copies have one digest.

    A category counts by its text alone, so that a row keeps its digest when other categories are added.

    Args:
        values: (N, F) from `row_numbers`.
        columns: columns of the input.
    """
    contents = (values + np.float32(0)).view(np.uint32).astype(np.uint64)  # the sum makes -0 equal to 0
    for index, column in enumerate(columns):
        present = ~np.isnan(values[:, index])
        contents[~present, index] = np.iinfo(np.uint64).max
        if column.categories:
            texts = np.frombuffer(b"".join(map(_digest_of_text, column.categories)), dtype="<u8")
            contents[present, index] = texts[values[present, index].astype(np.int64)]
    rows, width = contents.tobytes(), contents.shape[1] * contents.itemsize
    return [
        hashlib.blake2b(rows[start : start + width], digest_size=_DIGEST_BYTES).hexdigest()
        for start in range(0, len(rows), width)
    ]


def _digest_of_text(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()


def _number(text: str, _column: Column) -> float | None:
    number = number_of(text)
    if number is not None:
        return number if abs(number) <= _LARGEST else None
    return math.nan if text.lower() in MISSING_NUMBERS else None


def _category(text: str, column: Column) -> float | None:
    return column.positions.get(text, math.nan if not text else None)


def _wrong_cell(where: str, text: str, column: Column, value: float | None) -> DataError:
    if value is not None:
        return DataError(f"{where}: expected a value, found none")
    expected = f"one of {categories_in_words(column.categories)}" if column.categories else "a number"
    return DataError(f"{where}: expected {expected}, found {text!r}")
