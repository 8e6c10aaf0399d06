"""The rows of a Parquet file, as those of the CSV file of the same table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data.parquet_files import read_cells, read_schema
from pipeline.scoring.arrays import file_identity

# So many rows are in memory as texts.
_PIECE_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class ParquetRows:
    """A Parquet file.

    Args:
        path: the file.
        first: names of its columns.
        total: number of its rows.
    """

    path: Path
    first: tuple[str, ...]
    total: int
    unit: str = "rows"

    @property
    def identity(self) -> Mapping[str, Any]:
        """The file, its size and its time of change."""
        return file_identity(self.path)

    @contextmanager
    def opened(
        self, places: Sequence[int], *, start: int = 0
    ) -> Iterator[tuple[Iterator[list[str] | int], Callable[[], int]]]:
        """Open the file: its rows, and how many of them are read.

        Args:
            places: places of the columns that are taken; no other one is read.
            start: number of rows to leave out at the beginning.
        """
        done = start

        def rows() -> Iterator[list[str] | int]:
            nonlocal done
            for piece in read_cells(self.path, rows_at_once=_PIECE_ROWS, places=places, start=start):
                for cells in zip(*piece, strict=True):
                    done += 1
                    yield list(cells)

        yield rows(), lambda: done


def open_parquet(path: Path) -> ParquetRows:
    """Read what a Parquet file says of itself.

    Raises:
        DataError: it is damaged, or pyarrow is not installed.
    """
    names, total = read_schema(path)
    return ParquetRows(path=path, first=names, total=total)
