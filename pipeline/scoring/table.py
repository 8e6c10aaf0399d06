"""The rows of a table, CSV or Parquet, as a source: read from the beginning to the end once, however long it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal, assert_never

from pipeline._handlers.decode import InputSpec
from pipeline.data.parquet_files import is_parquet
from pipeline.data.table_cells import number_of
from pipeline.engine.places import os_error_text
from pipeline.errors import DataError, FileError, UsageError
from pipeline.scoring.csv_rows import CsvRows, open_csv
from pipeline.scoring.parquet_rows import ParquetRows, open_parquet
from pipeline.scoring.sources import Request

_SHOWN = 12
_PARQUET_SUFFIXES = (".parquet", ".pq")

# How the rows of a file are read.
Rows = CsvRows | ParquetRows


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Rows of a table whose cells are the values of the only input.

    Args:
        rows: the file.
        names: names of the columns that are taken, in the order of the input's values.
        places: places of these columns in a row of the file.
        notes: lines on how the table is read.
    """

    rows: Rows
    names: tuple[str, ...]
    places: tuple[int, ...]
    notes: tuple[str, ...] = ()
    key: Literal["file", "row"] = "row"

    @property
    def path(self) -> Path:
        """The file."""
        return self.rows.path

    @property
    def total(self) -> int:
        """The size of the file, in its own unit."""
        return self.rows.total

    @property
    def unit(self) -> str:
        """What the file's size is counted in."""
        return self.rows.unit

    @property
    def job(self) -> Mapping[str, Any]:
        """The names of the columns, and the width of a row."""
        return {"kind": "rows", "columns": self.names, "width": len(self.rows.first)}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, its size and its time of change, and how it is read."""
        return {**self.rows.identity, "columns": [*self.names]}

    def requests(self, *, size: int, start: int = 0) -> Iterator[Request]:
        """Yield consecutive rows, cells as they stand in the file."""
        with self.rows.opened(self.places, start=start) as (rows, position):
            first = start
            while part := list(islice(rows, size)):
                names = range(first, first + len(part))
                yield Request(names=names, document={"first": first, "rows": part}, done=position())
                first += len(part)

    def column(self, name: str) -> list[str]:
        """Read the cells of one column.

        Raises:
            UsageError: there is no such column.
            DataError: the file cannot be read, or a row is too short.
        """
        names = [name.strip() for name in self.rows.first] if _has_header(self.rows) else []
        if name not in names:
            raise UsageError(f"{self.path}: expected a column {name}, found {_in_words(names)}")
        cells = []
        with self.rows.opened([names.index(name)]) as (rows, _):
            for number, row in enumerate(rows):
                if isinstance(row, int):
                    raise DataError(f"{self.path}: row {number}: expected {len(names)} cells, found {row}")
                cells += row
        return cells


def open_table(path: Path, inputs: Sequence[InputSpec]) -> TableSource:
    """Read the first row of a table, and find the column of each value of the only input.

    An input with columns is matched by name, in any order, and other columns are left out. Any other input of one axis
    takes one column for each value, in order, in a CSV file with or without a row of names.

    Raises:
        UsageError: the model takes no rows of a table.
        FileError: the file cannot be read.
        DataError: the columns are not those of the input.
    """
    spec = inputs[0]
    if len(inputs) != 1 or len(spec.shape) != 1 or spec.dynamic_axes:
        takes = "a folder of pictures" if spec.decoding is not None and len(inputs) == 1 else "arrays (.npz)"
        raise UsageError(f"{path}: expected {takes}, since this model takes no rows of a table, found a table")
    try:
        rows = _open_rows(path)
    except OSError as error:
        raise FileError(f"{path}: expected a file that can be read, found: {os_error_text(error)}") from error
    if rows is None:
        raise DataError(f"{path}: expected a row of names and rows of values, found an empty file")
    return _by_name(rows, spec) if spec.columns else _in_order(rows, spec)


def _open_rows(path: Path) -> Rows | None:
    """Open a file by what it holds, whatever its name is; return None where it is empty."""
    if is_parquet(path):
        return open_parquet(path)
    if path.suffix.lower() in _PARQUET_SUFFIXES:
        raise DataError(f"{path}: expected a Parquet file, found another; the name of a CSV file ends in .csv")
    return open_csv(path)


def _by_name(rows: Rows, spec: InputSpec) -> TableSource:
    path, names = rows.path, [name.strip() for name in rows.first]
    wanted = [column.name for column in spec.columns]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{path}: expected columns {_in_words(missing)}, found {_in_words(names)}")
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise DataError(f"{path}: expected each column once, found several of {_in_words(twice)}")
    others = [name for name in names if name not in wanted]
    notes = (f"{path}: left out {len(others)} columns: {_in_words(others)}",) if others else ()
    places = tuple(names.index(name) for name in wanted)
    return TableSource(rows=rows, names=tuple(wanted), places=places, notes=notes)


def _in_order(rows: Rows, spec: InputSpec) -> TableSource:
    path, first, count = rows.path, rows.first, spec.shape[0]
    if len(first) != count:
        raise DataError(
            f"{path}: expected {count} columns, one for each value of input {spec.name}, which has no names of "
            f"columns, found {len(first)}: {_in_words(first)}; leave the others out"
        )
    if isinstance(rows, CsvRows):
        rows = replace(rows, header=any(number_of(cell) is None and cell.strip() for cell in first))
    header = _has_header(rows)
    names = tuple(cell.strip() for cell in first) if header else tuple(str(place) for place in range(count))
    notes = (f"{path}: columns are taken in their order: {_in_words(names)}",) if header else ()
    return TableSource(rows=rows, names=names, places=tuple(range(count)), notes=notes)


def _has_header(rows: Rows) -> bool:
    match rows:
        case CsvRows():
            return rows.header
        case ParquetRows():
            return True
        case unreachable:
            assert_never(unreachable)


def _in_words(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
