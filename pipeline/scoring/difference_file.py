"""The table of every example that two archives decide differently; it has its name only when it is whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import ANSWERS, Cell
from pipeline.engine.places import os_error_text
from pipeline.errors import FileError
from pipeline.scoring.differences import Difference
from pipeline.scoring.forms import csv_lines


class DifferenceFile:
    """A table that is being written; a context that leaves nothing behind unless it is finished.

    Args:
        path: path of the file.
        old: description of the old archive.
        new: description of the new archive.
        key: what names an example.

    Raises:
        FileError: nothing can be written there.
    """

    def __init__(self, path: Path, old: Serving, new: Serving, key: str) -> None:
        self._path, self._old, self._new = path, old, new
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise FileError(
                f"{path.parent}: expected a folder to write {path.name} to, found: {os_error_text(error)}"
            ) from error
        self._temporary = Path(name)
        self._file = os.fdopen(handle, "wb")
        columns = [
            f"{which}_{column}" for which, serving in (("old", old), ("new", new)) for column in _columns(serving)
        ]
        self._write([key, "target", *columns, "largest_difference", "error"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def add(self, difference: Difference) -> None:
        """Add a row."""
        cells: list[Cell] = [difference.name, difference.target]
        for serving, answer in ((self._old, difference.old_cells), (self._new, difference.new_cells)):
            cells += (None,) * len(_columns(serving)) if answer is None else answer
        self._write([*cells, difference.largest, difference.reason])

    def finish(self) -> None:
        """Give the whole file its name."""
        try:
            self._file.close()
            self._temporary.chmod(0o644)
            self._temporary.replace(self._path)
        except OSError as error:
            error.filename = error.filename or str(self._path)
            raise

    def _write(self, cells: list[Cell]) -> None:
        try:
            self._file.write(csv_lines([cells]))
        except OSError as error:
            error.filename = error.filename or str(self._path)
            raise


def _columns(serving: Serving) -> tuple[str, ...]:
    return ANSWERS[serving.task].columns(serving)
