"""Files of tables, CSV and Parquet, read in pieces: a million rows need no more memory than some thousands."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipeline.data.parquet_files import is_parquet, read_cells, read_schema
from pipeline.data.table_cells import Piece, separator_of
from pipeline.errors import DataError

_PIECE_ROWS = 20_000
_RECIPE_KEY = "data.table "
_REMEDIES = {
    b"PK\x03\x04": "a zip file or a spreadsheet; save the sheet as CSV, or unpack the file",
    b"\x1f\x8b": "a file packed by gzip; unpack it",
    b"\xff\xfe": "text in UTF-16; save it in UTF-8",
    b"\xfe\xff": "text in UTF-16; save it in UTF-8",
}
_HEAD_BYTES = 1 << 16


def read_header(path: Path) -> tuple[str, ...]:
    """Read the names of a table's columns.

    Raises:
        DataError: the file cannot be read or is no table, or a column has no name or that of another.
    """
    names = read_schema(path, what=_RECIPE_KEY)[0] if _is_parquet(path) else _csv_header(path)
    if not names:
        raise DataError(f"{path}: expected a table with a header in its first row, found an empty file")
    if "" in names:
        raise DataError(
            f"{path}: expected a name for each column in the first row, found none for column "
            f"{names.index('') + 1} of {len(names)}; give it one (pandas writes an index so: to_csv(..., index=False))"
        )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise DataError(f"{path}: expected columns of different names, found twice: {', '.join(twice)}")
    return names


def read_pieces(path: Path, header: Sequence[str]) -> Iterator[Piece]:
    """Read the rows of a table, some thousands at a time; spaces around cells are left out.

    Args:
        path: the file.
        header: names of its columns, from `read_header`.

    Raises:
        DataError: the file is damaged, or a row has more or fewer cells than the header.
    """
    if _is_parquet(path):
        return read_cells(path, rows_at_once=_PIECE_ROWS, what=_RECIPE_KEY)
    return _csv_pieces(path, len(header))


def _is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its content, whatever its name is; refuse what is neither text nor Parquet."""
    try:
        if is_parquet(path):
            return True
        with path.open("rb") as stream:
            head = stream.read(max(map(len, _REMEDIES)))
    except OSError as error:
        raise DataError(f"{_RECIPE_KEY}{path}: expected a readable file, found: {error.strerror}") from error
    for magic, content in _REMEDIES.items():
        if head.startswith(magic):
            raise DataError(f"{_RECIPE_KEY}{path}: expected a CSV or Parquet file, found {content}")
    return False


def _csv_header(path: Path) -> tuple[str, ...]:
    for row in _csv_rows(path):
        return tuple(cell.strip() for cell in row)
    return ()


def _csv_pieces(path: Path, width: int) -> Iterator[Piece]:
    rows = _csv_rows(path)
    next(rows, None)
    first, blank = 0, 0
    while piece := list(itertools.islice(rows, _PIECE_ROWS)):
        filled = len(piece) + blank
        while piece and not piece[-1]:  # blank lines at the end of a file are no rows
            piece.pop()
        if piece and blank:
            raise DataError(f"{path}: row {first + 2}: expected {width} cells, as in the header, found an empty row")
        blank = filled - len(piece)
        wrong = next((index for index, row in enumerate(piece) if len(row) != width), None)
        if wrong is not None:
            found = f"{len(piece[wrong])}" if piece[wrong] else "an empty row"
            raise DataError(
                f"{path}: row {first + wrong + 2}: expected {width} cells, as in the header, found {found}; put cells "
                "that hold the separator into quotes"
            )
        if piece:
            yield [list(map(str.strip, column)) for column in zip(*piece, strict=True)]
        first += len(piece)


def _csv_rows(path: Path) -> Iterator[list[str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            line = stream.readline(_HEAD_BYTES)
            stream.seek(0)
            yield from csv.reader(stream, delimiter=separator_of(line), strict=True)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, found byte 0x{error.object[error.start]:02x}; save it in UTF-8"
        ) from error
    except (csv.Error, OSError) as error:
        raise DataError(f"{path}: expected CSV, found: {error}") from error
