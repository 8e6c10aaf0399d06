"""The rows of a CSV table, as a source: read from the beginning to the end once, however long it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pipeline._handlers.decode import InputSpec
from pipeline.data.table_cells import number_of, separator_of
from pipeline.engine.places import os_error_text
from pipeline.errors import DataError, FileError, UsageError
from pipeline.scoring.arrays import file_identity
from pipeline.scoring.sources import Request

# Text of one cell, in characters; longer ones are no number and no category, but may stand in columns left out.
_MOST_CELL = 1 << 24
_SHOWN = 12


@dataclass(frozen=True, kw_only=True)
class TableSource:
    """Rows of a table whose cells are the values of the only input.

    Args:
        path: CSV file.
        delimiter: character between two cells.
        header: whether the first row holds names.
        names: names of the columns that are taken, in the order of the input's values.
        places: places of these columns in a row of the file.
        width: number of cells of a row of the file.
        notes: lines on how the table is read.
    """

    path: Path
    delimiter: str
    header: bool
    names: tuple[str, ...]
    places: tuple[int, ...]
    width: int
    notes: tuple[str, ...] = ()
    key: Literal["file", "row"] = "row"
    unit: str = "bytes"

    @property
    def total(self) -> int:
        """The size of the file, in bytes: nobody knows how many rows there are before they are read."""
        return self.path.stat().st_size

    @property
    def job(self) -> Mapping[str, Any]:
        """The names of the columns, and the width of a row."""
        return {"kind": "rows", "columns": self.names, "width": self.width}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, its size and its time of change, and how it is read."""
        return {**file_identity(self.path), "delimiter": self.delimiter, "columns": [*self.names]}

    def requests(self, *, size: int, start: int = 0) -> Iterator[Request]:
        """Yield consecutive rows, cells as they stand in the file; empty lines are no rows."""
        with _opened(self.path, self.delimiter) as (rows, position):
            first = start
            for _ in islice(rows, start + self.header):
                pass
            while part := list(islice(rows, size)):
                # Of a row with more or fewer cells nobody knows which is which: only their number is handed on.
                cells = [[row[place] for place in self.places] if len(row) == self.width else len(row) for row in part]
                names = range(first, first + len(part))
                yield Request(names=names, document={"first": first, "rows": cells}, done=position())
                first += len(part)

    def column(self, name: str) -> list[str]:
        """Read the cells of one column.

        Raises:
            UsageError: there is no such column.
            DataError: the file cannot be read, or a row is too short.
        """
        with _opened(self.path, self.delimiter) as (rows, _):
            names = [name.strip() for name in next(rows)] if self.header else []
            if name not in names:
                raise UsageError(f"{self.path}: expected a column {name}, found {_in_words(names)}")
            place = names.index(name)
            cells = []
            for number, row in enumerate(rows):
                if len(row) != self.width:
                    raise DataError(f"{self.path}: row {number}: expected {self.width} cells, found {len(row)}")
                cells.append(row[place])
        return cells


def open_table(path: Path, inputs: Sequence[InputSpec]) -> TableSource:
    """Read the first row of a table, and find the column of each value of the only input.

    An input with columns is matched by name, in any order, and other columns are left out. Any other input of one axis
    takes one column for each value, in order, with or without a row of names.

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
        with path.open("rb") as file:
            line = file.readline(_MOST_CELL).decode("utf-8-sig", "replace")
            delimiter = "\t" if path.suffix.lower() == ".tsv" else separator_of(line)
        with _opened(path, delimiter) as (rows, _):
            first = next(rows, None)
    except OSError as error:
        raise FileError(f"{path}: expected a file that can be read, found: {os_error_text(error)}") from error
    if first is None:
        raise DataError(f"{path}: expected a row of names and rows of values, found an empty file")
    return _by_name(path, delimiter, first, spec) if spec.columns else _in_order(path, delimiter, first, spec)


def _by_name(path: Path, delimiter: str, names: Sequence[str], spec: InputSpec) -> TableSource:
    names = [name.strip() for name in names]
    wanted = [column.name for column in spec.columns]
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError(f"{path}: expected columns {_in_words(missing)}, found {_in_words(names)}")
    if twice := [name for name in wanted if names.count(name) > 1]:
        raise DataError(f"{path}: expected each column once, found several of {_in_words(twice)}")
    others = [name for name in names if name not in wanted]
    notes = (f"{path}: left out {len(others)} columns: {_in_words(others)}",) if others else ()
    places = tuple(names.index(name) for name in wanted)
    return TableSource(
        path=path,
        delimiter=delimiter,
        header=True,
        names=tuple(wanted),
        places=places,
        width=len(names),
        notes=notes,
    )


def _in_order(path: Path, delimiter: str, first: Sequence[str], spec: InputSpec) -> TableSource:
    count = spec.shape[0]
    if len(first) != count:
        raise DataError(
            f"{path}: expected {count} columns, one for each value of input {spec.name}, which has no names of "
            f"columns, found {len(first)}: {_in_words(first)}; leave the others out"
        )
    header = any(number_of(cell) is None and cell.strip() for cell in first)
    names = tuple(cell.strip() for cell in first) if header else tuple(str(place) for place in range(count))
    notes = (f"{path}: columns are taken in their order: {_in_words(names)}",) if header else ()
    return TableSource(
        path=path,
        delimiter=delimiter,
        header=header,
        names=names,
        places=tuple(range(count)),
        width=count,
        notes=notes,
    )


@contextmanager
def _opened(path: Path, delimiter: str) -> Iterator[tuple[Iterator[list[str]], Callable[[], int]]]:
    """Open a table: its rows that have a cell, and how far it is read, in bytes; what is not UTF-8 stays what it is."""
    csv.field_size_limit(_MOST_CELL)
    with path.open("rb") as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        yield _rows(path, text, delimiter), file.tell


def _rows(path: Path, text: io.TextIOWrapper, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(text, delimiter=delimiter)
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: expected a row of a table, found: {error}") from error


def _in_words(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
