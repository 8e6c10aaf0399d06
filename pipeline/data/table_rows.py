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
from pipeline.data.content_split import TEST, TRAIN, VALIDATION, content_digests, split_by_digest
from pipeline.data.dataset import SPLITS, DataSet, Split
from pipeline.data.table_cells import place_of
from pipeline.data.table_columns import ColumnFinder, ColumnKind, FoundColumn
from pipeline.data.table_files import read_header, read_pieces
from pipeline.data.table_values import row_contents, row_numbers
from pipeline.data.target_columns import read_targets
from pipeline.engine.artifacts import digest_file
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError
from pipeline.recipe.data import Data
from pipeline.recipe.names import meant
from pipeline.recipe.task import TaskSettings

# Name of the input that takes a row.
FEATURES = "features"
# What a column of splits may say.
_SPLIT_NAMES = {
    "train": TRAIN,
    "training": TRAIN,
    "validation": VALIDATION,
    "valid": VALIDATION,
    "val": VALIDATION,
    "dev": VALIDATION,
    "test": TEST,
}
# Number of columns that are shown one by one.
_SHOWN_COLUMNS = 40


@dataclass(frozen=True, kw_only=True)
class _Places:
    """Where the parts of a row stand: indices into the header."""

    features: tuple[int, ...]
    targets: tuple[int, ...]
    split: int | None


def load_table(data: Data, folder: Path, *, task: TaskSettings, reporter: Reporter) -> DataSet:
    """Read a table, show what its columns hold, and split its rows.

    Args:
        data: section of the recipe, with `table` and `targets`.
        folder: folder of the recipe.
        task: settings of the task, which say what targets are.
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
    found = _find_columns(path, header, places, data)
    for line in _lines(found):
        reporter.log(f"data: {line}")
    columns = [each.column for each in found]
    rows, digests, targets, named_splits = _read_rows(
        path, header, places, columns, seed=data.seed, missing=data.missing
    )
    labels, names = read_targets(
        {header[place]: cells for place, cells in zip(places.targets, targets, strict=True)}, task, where=str(path)
    )
    splits = (
        split_by_digest(digests, validation=data.validation_share, test=data.test_share)
        if places.split is None
        else _declared_splits(path, header[places.split], named_splits)
    )
    for line in _copies(digests, splits):
        reporter.log(f"data: {line}")
    _require_all_splits(path, splits, data)
    spec = InputSpec(
        name=FEATURES,
        dtype="float32",
        shape=(len(columns),),
        low=-math.inf,
        high=math.inf,
        missing=data.missing,
        columns=tuple(columns),
    )
    parts = {
        name: Split(inputs={FEATURES: rows[splits == position]}, labels=labels[splits == position])
        for position, name in enumerate(SPLITS)
    }
    return DataSet(
        name=path.stem,
        classes=names,
        inputs=(spec,),
        sources={data.table: digest_file(path)},
        task=task.kind,
        **parts,
    )


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
            f"{path}: expected a column besides {', '.join(filter(None, sorted(map(str, unseen))))}, for the network "
            "to see, found none"
        )
    return _Places(
        features=features,
        targets=tuple(header.index(name) for name in data.targets),
        split=None if data.split is None else header.index(data.split),
    )


def _find_columns(path: Path, header: Sequence[str], places: _Places, data: Data) -> tuple[FoundColumn, ...]:
    declared: dict[str, ColumnKind] = {name: kind for name, kind in data.columns.items() if kind != "ignore"}
    rows = 0
    finder = ColumnFinder(path, [header[place] for place in places.features], declared)
    for piece in read_pieces(path, header):
        finder.add([piece[place] for place in places.features])
        rows += len(piece[0])
    if not rows:
        raise DataError(f"{path}: expected rows below the header, found none")
    return finder.find(missing=data.missing)


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
    path: Path, header: Sequence[str], places: _Places, columns: Sequence[Column], *, seed: int, missing: bool
) -> tuple[NDArray[np.float32], NDArray[np.uint64], list[list[str]], list[str]]:
    """Read the values: rows (N, F), digests of what is in them (N,), cells of each target, and of the splits."""
    rows: list[NDArray[np.float32]] = []
    digests: list[NDArray[np.uint64]] = []
    targets: list[list[str]] = [[] for _ in places.targets]
    splits: list[str] = []
    first = 0
    for piece in read_pieces(path, header):
        cells = [piece[place] for place in places.features]
        values = row_numbers(cells, columns, where=str(path), first_row=first, missing=missing)
        rows.append(values)
        digests.append(content_digests(row_contents(values, columns), seed=seed))
        for target, place in zip(targets, places.targets, strict=True):
            target.extend(piece[place])
        if places.split is not None:
            splits.extend(piece[places.split])
        first += len(values)
    return np.concatenate(rows), np.concatenate(digests), targets, splits


def _declared_splits(path: Path, column: str, cells: Sequence[str]) -> NDArray[np.int8]:
    """The split of each row as its column says, (N,): positions in `SPLITS`."""
    for row, cell in enumerate(cells):
        if cell.lower() not in _SPLIT_NAMES:
            raise DataError(f"{path}: {place_of(row, column)}: expected train, validation or test, found {cell!r}")
    return np.array([_SPLIT_NAMES[cell.lower()] for cell in cells], dtype=np.int8)


def _copies(digests: NDArray[np.uint64], splits: NDArray[np.int8]) -> list[str]:
    """Say how many rows are copies of others, and which of them sit in two splits."""
    copies = len(digests) - len(np.unique(digests))
    if not copies:
        return []
    trained = digests[splits == TRAIN]
    held_out = {
        SPLITS[position]: int(np.isin(digests[splits == position], trained).sum()) for position in (VALIDATION, TEST)
    }
    across = [f"{count} of {name}" for name, count in held_out.items() if count]
    where = f"; also in train: {' and '.join(across)}, which makes them easier than new rows" if across else ""
    return [f"{copies} rows hold the same values as another row, targets aside{where}"]


def _require_all_splits(path: Path, splits: NDArray[np.int8], data: Data) -> None:
    """Refuse a table without rows for a split, and say what to do."""
    counts = np.bincount(splits, minlength=len(SPLITS))
    if counts.all():
        return
    found = ", ".join(f"{count} {name}" for name, count in zip(SPLITS, counts.tolist(), strict=True))
    remedy = (
        "more rows, larger validation_share and test_share, or a column of splits (data.split), for equal rows are "
        "in one split"
        if data.split is None
        else f"rows of each in column {data.split}"
    )
    raise DataError(f"{path}: expected rows for train, validation and test, found {found}; give {remedy}")
