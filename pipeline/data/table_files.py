"""Files of tables, CSV and Parquet, read in pieces: a million rows need no more memory than some thousands."""

from __future__ import annotations

import csv
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.data.table_cells import separator_of
from pipeline.errors import DataError

# Cells of some rows, one sequence for each column in the order of the header; a missing value is an empty text.
Piece = Sequence[Sequence[str]]

_PIECE_ROWS = 20_000
_PARQUET = b"PAR1"
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
    names = _parquet_header(path) if _is_parquet(path) else _csv_header(path)
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
    return _parquet_pieces(path) if _is_parquet(path) else _csv_pieces(path, len(header))


def _is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its content, whatever its name is; refuse what is neither text nor Parquet."""
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_PARQUET))
    except OSError as error:
        raise DataError(f"data.table {path}: expected a readable file, found: {error.strerror}") from error
    for magic, content in _REMEDIES.items():
        if head.startswith(magic):
            raise DataError(f"data.table {path}: expected a CSV or Parquet file, found {content}")
    return head == _PARQUET


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


def _parquet_header(path: Path) -> tuple[str, ...]:
    with _opened_parquet(path) as file:
        return tuple(name.strip() for name in file.schema_arrow.names)


def _parquet_pieces(path: Path) -> Iterator[Piece]:
    """Read a Parquet file as the CSV file of the same table: numbers become their shortest exact text."""
    with _opened_parquet(path) as file:
        for batch in file.iter_batches(batch_size=_PIECE_ROWS):
            yield [[(text or "").strip() for text in column.cast("string").to_pylist()] for column in batch.columns]


@contextmanager
def _opened_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file; what pyarrow raises inside the block becomes one line."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"data.table {path}: a Parquet file needs pyarrow; install it with: pip install "
            "'proven-pipeline[parquet]', or save the table as CSV"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected a Parquet file of numbers and texts, found: {reason}") from error
