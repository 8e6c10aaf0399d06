"""Parquet files, read as the CSV file of the same table: numbers become their shortest exact text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.data.table_cells import Piece
from pipeline.errors import DataError

MAGIC = b"PAR1"


def is_parquet(path: Path) -> bool:
    """Tell a Parquet file by its content, whatever its name is.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def read_schema(path: Path, *, what: str = "") -> tuple[tuple[str, ...], int]:
    """Read the names of the columns, without spaces around them, and the number of rows.

    Args:
        path: the file.
        what: what the file is, in front of its path where a message says what to install.

    Raises:
        DataError: it is damaged, or pyarrow is not installed.
    """
    with _opened(path, what=what) as file:
        return tuple(name.strip() for name in file.schema_arrow.names), int(file.metadata.num_rows)


def read_cells(
    path: Path, *, rows_at_once: int, places: Sequence[int] | None = None, start: int = 0, what: str = ""
) -> Iterator[Piece]:
    """Read rows, some at a time, without spaces around cells.

    Args:
        path: the file.
        rows_at_once: largest number of rows of a piece.
        places: columns to read, by their places; all of them if None.
        start: number of rows to leave out at the beginning.
        what: as for `read_schema`.

    Raises:
        DataError: it is damaged, a column holds neither numbers nor texts, or pyarrow is not installed.
    """
    with _opened(path, what=what) as file:
        groups = list(range(file.metadata.num_row_groups))
        while groups and (rows := file.metadata.row_group(groups[0]).num_rows) <= start:
            start -= rows
            del groups[0]
        names = list(file.schema_arrow.names)
        places = range(len(names)) if places is None else places
        wanted = list(dict.fromkeys(names[place] for place in places))
        for batch in file.iter_batches(batch_size=rows_at_once, row_groups=groups, columns=wanted):
            rest = batch.slice(min(start, len(batch)))
            start -= len(batch) - len(rest)
            if len(rest):
                yield [_texts(rest.column(_index(rest, names, place))) for place in places]


def _index(batch: Any, names: Sequence[str], place: int) -> int:
    """Return where a column of the file stands in a batch, in which columns of one name keep their order."""
    name = names[place]
    index: int = batch.schema.get_all_field_indices(name)[names[:place].count(name)]
    return index


def _texts(column: Any) -> list[str]:
    return [(text or "").strip() for text in column.cast("string").to_pylist()]


@contextmanager
def _opened(path: Path, *, what: str) -> Iterator[Any]:
    """Open a Parquet file; what pyarrow raises inside the block becomes one line."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise DataError(
            f"{what}{path}: a Parquet file needs pyarrow; install it with: pip install "
            "'proven-pipeline[parquet]', or save the table as CSV"
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: expected a Parquet file of numbers and texts, found: {reason}") from error
