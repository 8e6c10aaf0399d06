"""Targets from the columns of a table: class names, labels, or numbers, as the task of a recipe reads them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline.data.table_cells import number_of, place_of
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, MultiLabel, Outputs, Regression, TaskSettings

# A column of whole numbers holds classes only if there are few of them.
_MOST_NUMBERED_CLASSES = 1000
_SEPARATORS = (";", "|")
_FLAGS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
# So many numbered classes need no further rows.
_FEW_CLASSES = 5
_LARGEST = float(np.finfo(np.float32).max)


def read_targets(
    columns: Mapping[str, Sequence[str]], task: TaskSettings, *, where: str
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Read targets from the cells of a table.

    Classification takes one column of class names; whole numbers keep their order, other texts are sorted. Multi-label
    takes columns of 0 and 1, one for each label, or one column with the labels of each row, joined by `;` or `|` or
    else by spaces, where an empty cell means no label. Regression takes columns of numbers, one for each output; the
    task outputs takes any columns of numbers.

    Args:
        columns: cells of each target column, by its name; all of one length, in the order of the rows below the header.
        task: settings of the task in the recipe.
        where: name of the table, for messages.

    Returns:
        Targets as a split stores them, and the names of the outputs: class indices (N,) int64 and class names; 0 and 1
        (N, K) uint8 and labels; or numbers (N, K) float32 and names of the columns.

    Raises:
        DataError: a cell is empty or no value of the task, or the columns are not what the task takes; rows are
            counted as a spreadsheet does, with the header as row 1.
    """
    if not columns:
        raise DataError(f"{where}: expected a column of targets for {task.kind}, found none; name it in data.targets")
    match task:
        case Classification():
            return _classes(columns, where=where)
        case MultiLabel():
            return _label_sets(columns, where=where)
        case Regression() | Outputs():
            return _numbers(columns, where=where)
        case unreachable:
            assert_never(unreachable)


def _classes(columns: Mapping[str, Sequence[str]], *, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if len(columns) != 1:
        raise DataError(
            f"{where}: expected one column of classes for classification, found {', '.join(columns)}; for several "
            'labels of an example, say kind = "multi-label" in [task]'
        )
    [(column, cells)] = columns.items()
    texts = [cell.strip() for cell in cells]
    if "" in texts:
        raise _empty(where, texts.index(""), column)
    counts = Counter(texts)
    numbers = {text: number_of(text) for text in counts}
    if all(number is not None for number in numbers.values()):
        _require_whole_numbers(numbers, where=f"{where}: column {column}", rows=len(texts))
    names = sorted(counts, key=lambda text: (numbers[text] is None, numbers[text] or 0.0, text))
    positions = {name: position for position, name in enumerate(names)}
    return np.array([positions[text] for text in texts], dtype=np.int64), tuple(names)


def _require_whole_numbers(numbers: Mapping[str, float | None], *, where: str, rows: int) -> None:
    """Refuse numbers that are measured and not counted: a column of them is for regression."""
    fraction = next((text for text, number in numbers.items() if number is not None and number % 1), None)
    if fraction is None and len(numbers) <= max(_FEW_CLASSES, min(_MOST_NUMBERED_CLASSES, rows // 2)):
        return
    found = f"the number {fraction}" if fraction is not None else f"{len(numbers)} numbers in {rows} rows"
    raise DataError(
        f"{where}: expected classes, found {found}; where numbers are to be predicted, say "
        'kind = "regression" in [task]'
    )


def _label_sets(columns: Mapping[str, Sequence[str]], *, where: str) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    cells = {name: [cell.strip() for cell in values] for name, values in columns.items()}
    first = next(iter(cells.values()))
    if len(cells) == 1 and not {cell.lower() for cell in first} - {""} <= _FLAGS.keys():
        return _joined_labels(first)
    flags = np.empty((len(first), len(cells)), dtype=np.uint8)
    for index, (name, values) in enumerate(cells.items()):
        for row, value in enumerate(values):
            flag = _FLAGS.get(value.lower())
            if flag is None:
                raise DataError(
                    f"{where}: {place_of(row, name)}: expected 0 or 1, found {value!r}; labels may also stand in one "
                    "column alone, joined by ;"
                )
            flags[row, index] = flag
    return flags, tuple(cells)


def _joined_labels(cells: Sequence[str]) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Labels of cells such as `red;round`; the separator is the first of `;` and `|` that any cell has, else space."""
    separator = next((mark for mark in _SEPARATORS if any(mark in cell for cell in cells)), None)
    pattern = r"\s+" if separator is None else re.escape(separator)
    sets = [{label.strip() for label in re.split(pattern, cell)} - {""} for cell in cells]
    names = sorted(set[str]().union(*sets))
    positions = {name: position for position, name in enumerate(names)}
    flags = np.zeros((len(cells), len(names)), dtype=np.uint8)
    for row, labels in enumerate(sets):
        flags[row, [positions[label] for label in labels]] = 1
    return flags, tuple(names)


def _numbers(columns: Mapping[str, Sequence[str]], *, where: str) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    values = np.empty((len(next(iter(columns.values()))), len(columns)), dtype=np.float32)
    for index, (name, cells) in enumerate(columns.items()):
        for row, cell in enumerate(cells):
            number = number_of(cell)
            if number is None and not cell.strip():
                raise _empty(where, row, name)
            if number is None or abs(number) > _LARGEST:
                raise DataError(f"{where}: {place_of(row, name)}: expected a number, found {cell.strip()!r}")
            values[row, index] = number
    return values, tuple(columns)


def _empty(where: str, row: int, column: str) -> DataError:
    return DataError(f"{where}: {place_of(row, column)}: expected a target, found an empty cell; leave the row out")
