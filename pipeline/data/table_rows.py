"""A table of rows as a data set: two readings of its file, one to find what its columns hold, one for the values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, SplitName
from pipeline.data.picture_classes import listed_outputs
from pipeline.data.picture_files import SPLIT_FOLDERS
from pipeline.data.split_arrays import copies, open_splits, split_arrays
from pipeline.data.table_cells import place_of
from pipeline.data.table_columns import ColumnFinder, ColumnKind, FoundColumn
from pipeline.data.table_files import read_header, read_pieces
from pipeline.data.table_values import row_digests, row_numbers
from pipeline.data.target_columns import read_targets
from pipeline.engine.artifacts import digest_file
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError
from pipeline.recipe.data import Data
from pipeline.recipe.names import meant
from pipeline.recipe.task import TaskSettings

# Name of the input that takes a row.
FEATURES = "features"
# Number of columns that are shown one by one.
_SHOWN_COLUMNS = 40


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where the parts of a row stand: indices into the header."""

    features: tuple[int, ...]
    targets: tuple[int, ...]
    split: int | None


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """The rows of a table: values (N, F), digests of these (N), cells of each target and of the split, if any."""

    values: NDArray[np.float32]
    digests: list[str]
    targets: list[list[str]]
    splits: list[str]


def load_table(data: Data, folder: Path, *, task: TaskSettings, scratch: Path, reporter: Reporter) -> DataSet:
    """Read a table, show what its columns hold, and split its rows.

    Args:
        data: section of the recipe, with `table`.
        folder: folder of the recipe.
        task: settings of the task, which say what targets are.
        scratch: folder for the files of splits that are too large for memory.
        reporter: receives a line for each column.

    Returns:
        A data set with one input, `features`, float32 (F,): numbers, and positions of categories.

    Raises:
        DataError: the file is no table, a column is absent or not what it should be, or a cell is; rows are counted
            as a spreadsheet does, with the header as row 1.
    """
    assert data.table is not None
    path = folder / data.table
    header = read_header(path)
    places = _find_places(path, header, data)
    found, count = _find_columns(path, header, places, data)
    for line in _lines(found):
        reporter.log(f"data: {line}")
    columns = tuple(each.column for each in found)
    table = _read_rows(path, header, places, columns, count, missing=data.missing)
    targets = {header[place]: cells for place, cells in zip(places.targets, table.targets, strict=True)}
    labels, names = read_targets(targets, task, where=str(path)) if targets else (None, ())
    outputs, labels = listed_outputs(names, labels, data, folder, task=task)
    splits = open_splits(
        _given_splits(path, table, column=data.split),
        table.digests,
        labels,
        seed=data.seed,
        shares={"validation": data.validation_share, "test": data.test_share},
        where=str(path),
    )
    for line in copies(table.digests, splits, what="rows hold the same values as another, targets aside"):
        reporter.log(f"data: {line}")
    spec = InputSpec(
        name=FEATURES,
        dtype="float32",
        shape=(len(columns),),
        low=-math.inf,
        high=math.inf,
        missing=data.missing,
        columns=columns,
    )
    parts = split_arrays(
        {FEATURES: table.values}, labels, splits=splits, digests=table.digests, seed=data.seed, scratch=scratch
    )
    return DataSet(
        name=path.stem,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        classes=outputs,
        inputs=(spec,),
        sources=table_digests(data, folder),
        task=task.kind,
    )


def table_digests(data: Data, folder: Path) -> dict[str, str]:
    """Digests of the files that a table is read from: SHA-256 by name.

    Raises:
        DataError: there is no such file.
    """
    assert data.table is not None
    files = {f"data.table {data.table}": folder / data.table}
    if isinstance(data.classes, str):
        files[f"data.classes {data.classes}"] = folder / data.classes
    for key, file in files.items():
        if not file.is_file():
            raise DataError(f"{key}: expected a file, found none at {file}; it is relative to the recipe")
    return {key: digest_file(file) for key, file in files.items()}


def _find_places(path: Path, header: Sequence[str], data: Data) -> _Places:
    """Find the columns that the recipe names, and those that the network sees: all others."""
    named = {
        **{f"data.columns.{name}": name for name in data.columns},
        **{f"data.targets {name}": name for name in data.targets},
        **({} if data.split is None else {"data.split": data.split}),
    }
    for key, name in named.items():
        if name not in header:
            raise DataError(
                f"{path}: {key}: expected one of its columns, {', '.join(header)}, found {name!r}{meant(name, header)}"
            )
    unseen = {*data.targets, data.split, *(name for name, kind in data.columns.items() if kind == "ignore")}
    features = tuple(place for place, name in enumerate(header) if name not in unseen)
    if not features:
        raise DataError(
            f"{path}: expected a column besides {', '.join(sorted(filter(None, unseen)))}, for the network to see, "
            "found none"
        )
    return _Places(
        features=features,
        targets=tuple(header.index(name) for name in data.targets),
        split=None if data.split is None else header.index(data.split),
    )


def _find_columns(
    path: Path, header: Sequence[str], places: _Places, data: Data
) -> tuple[tuple[FoundColumn, ...], int]:
    """Find what the columns hold that the network sees, and count the rows."""
    declared: dict[str, ColumnKind] = {name: kind for name, kind in data.columns.items() if kind != "ignore"}
    rows = 0
    finder = ColumnFinder(path, [header[place] for place in places.features], declared)
    for piece in read_pieces(path, header):
        finder.add([piece[place] for place in places.features])
        rows += len(piece[0])
    if not rows:
        raise DataError(f"{path}: expected rows below the header, found none")
    return finder.find(missing=data.missing), rows


def _lines(found: Sequence[FoundColumn]) -> list[str]:
    lines = [str(column) for column in found[:_SHOWN_COLUMNS]]
    rest = found[_SHOWN_COLUMNS:]
    if rest:
        categories = sum(bool(column.column.categories) for column in rest)
        lines.append(
            f"{len(rest)} more columns: {len(rest) - categories} of numbers, {categories} of categories; "
            "data.json has them all"
        )
    return lines


def _read_rows(
    path: Path, header: Sequence[str], places: _Places, columns: Sequence[Column], count: int, *, missing: bool
) -> _Rows:
    values = np.empty((count, len(columns)), dtype=np.float32)
    digests: list[str] = []
    targets: list[list[str]] = [[] for _ in places.targets]
    splits: list[str] = []
    for piece in read_pieces(path, header):
        start = len(digests)
        cells = [piece[place] for place in places.features]
        part = row_numbers(cells, columns, where=str(path), first_row=start, missing=missing)
        values[start : start + len(part)] = part
        digests.extend(row_digests(part, columns))
        for target, place in zip(targets, places.targets, strict=True):
            target.extend(piece[place])
        if places.split is not None:
            splits.extend(piece[places.split])
    return _Rows(values=values, digests=digests, targets=targets, splits=splits)


def _given_splits(path: Path, table: _Rows, *, column: str | None) -> list[SplitName | None]:
    """The split that each row names; None for all where no column does.

    Raises:
        DataError: a cell names no split.
    """
    for row, cell in enumerate(table.splits):
        if cell.lower() not in SPLIT_FOLDERS:
            raise DataError(f"{path}: {place_of(row, str(column))}: expected train, validation or test, found {cell!r}")
    if column is None:
        return [None] * len(table.digests)
    return [SPLIT_FOLDERS[cell.lower()] for cell in table.splits]
