"""The rows of a CSV file, read as a stream from the beginning."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from pipeline.data.table_cells import separator_of
from pipeline.errors import DataError
from pipeline.scoring.arrays import file_identity

# Text of one cell, in characters; longer ones are no number and no category, but may stand in columns left out.
_MOST_CELL = 1 << 24


@dataclass(frozen=True, kw_only=True)
class CsvRows:
    """A CSV file.

    Args:
        path: the file.
        delimiter: character between two cells.
        first: cells of the first row.
        header: whether the first row holds names.
    """

    path: Path
    delimiter: str
    first: tuple[str, ...]
    header: bool = True
    unit: str = "bytes"

    @property
    def total(self) -> int:
        """The size of the file, in bytes: nobody knows how many rows there are before they are read."""
        return self.path.stat().st_size

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, its size and its time of change, and its delimiter."""
        return {**file_identity(self.path), "delimiter": self.delimiter}

    @contextmanager
    def opened(
        self, places: Sequence[int], *, start: int = 0
    ) -> Iterator[tuple[Iterator[list[str] | int], Callable[[], int]]]:
        """Open the file: its rows below the header, and how far it is read, in bytes.

        Empty lines are no rows. What is not UTF-8 stays what it is. Of a row with more or fewer cells than the first
        nobody knows which is which: it is their number.

        Args:
            places: places of the cells that are taken.
            start: number of rows to leave out at the beginning.
        """
        with _text_of(self.path) as (file, text):
            rows = islice(_rows(self.path, text, self.delimiter), start + self.header, None)
            width = len(self.first)
            yield ([row[place] for place in places] if len(row) == width else len(row) for row in rows), file.tell


def open_csv(path: Path) -> CsvRows | None:
    """Read the first row of a CSV file; return None where there is none.

    Raises:
        OSError: it cannot be read.
        DataError: its first row is none.
    """
    with path.open("rb") as file:
        line = file.readline(_MOST_CELL).decode("utf-8-sig", "replace")
    delimiter = "\t" if path.suffix.lower() == ".tsv" else separator_of(line)
    with _text_of(path) as (_, text):
        first = next(_rows(path, text, delimiter), None)
    return None if first is None else CsvRows(path=path, delimiter=delimiter, first=tuple(first))


@contextmanager
def _text_of(path: Path) -> Iterator[tuple[io.BufferedReader, io.TextIOWrapper]]:
    csv.field_size_limit(_MOST_CELL)
    with path.open("rb") as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as text:
        yield file, text


def _rows(path: Path, text: io.TextIOWrapper, delimiter: str) -> Iterator[list[str]]:
    reader = csv.reader(text, delimiter=delimiter)
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: expected a row of a table, found: {error}") from error
