"""The file of answers: it has its final name only when it is whole, and goes on where a killed run left off.

Until then the answers lie in a folder beside it, `<name>.partial`, with a document that says what they belong to, and
how many of their bytes are good. A run that finds answers of another archive, or to other data, starts anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from pipeline.engine.manifest import write_atomically
from pipeline.engine.places import os_error_text
from pipeline.engine.stage import Reporter
from pipeline.errors import FileError, StageError

# So often, in seconds, the answers so far are made safe. More often would keep the disk busy.
_SAFE_EVERY_S = 0.5
# So many reasons are kept for the summary; all of them stand in the file.
MOST_REASONS = 20
_ANSWERS, _STATE, _LOCK = "answers", "state.json", "lock"


@dataclass(kw_only=True)
class _State:
    """What is good of the answers so far.

    Args:
        identity: what the answers belong to, by what a person calls it.
        size: number of bytes that are good.
        examples: number of examples with a row.
        failed: number of those that have no answer.
        reasons: name and reason of the first ones without an answer.
    """

    identity: Mapping[str, Any]
    size: int = 0
    examples: int = 0
    failed: int = 0
    reasons: list[tuple[str | int, str]]


class ResultFile:
    """A file of answers that is being written; a context that keeps what there is when it is left early.

    Args:
        path: path of the file.
        identity: what the answers belong to, as JSON values, by what a person calls it.
        head: first bytes of the file.
        reporter: told whether it goes on or starts anew.

    Raises:
        StageError: another process is writing it.
        FileError: nothing can be written there.
    """

    def __init__(self, path: Path, *, identity: Mapping[str, Any], head: bytes, reporter: Reporter) -> None:
        self._path = path
        self._folder = path.with_name(f"{path.name}.partial")
        self._saved = time.monotonic()
        if path.is_dir():
            raise FileError(f"{path}: expected a file to write, found a folder")
        try:
            self._lock = _lock(self._folder, path)
            self._state = self._read(identity, reporter)
            self._file: BinaryIO = (self._folder / _ANSWERS).open("r+b" if self._state.size else "wb")
            self._file.truncate(self._state.size)
            self._file.seek(self._state.size)
            self.resumed_at = self._state.examples
            if not self._state.size:
                self._append(head)
                self.save()
        except OSError as error:
            _name(error, self._folder)
            raise FileError(
                f"{path.parent}: expected a folder to write {path.name} to, found: {os_error_text(error)}"
            ) from error

    @property
    def examples(self) -> int:
        """The number of examples with a row."""
        return self._state.examples

    @property
    def failed(self) -> int:
        """The number of examples without an answer."""
        return self._state.failed

    @property
    def reasons(self) -> tuple[tuple[str | int, str], ...]:
        """Name and reason of the first examples without an answer."""
        return tuple(self._state.reasons)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what was safe before stays so
            if not self._file.closed:
                self.save()
        with contextlib.suppress(OSError):
            self._file.close()
        if not self._state.examples:  # there is nothing to go on with
            self._remove()
        os.close(self._lock)

    def add(self, content: bytes, *, examples: int, reasons: Sequence[tuple[str | int, str]]) -> None:
        """Add rows.

        Args:
            content: bytes of the rows.
            examples: number of rows.
            reasons: name and reason of each one without an answer.

        Raises:
            OSError: the disk is full, for example; rows that were added before are kept.
        """
        self._append(content)
        self._state.examples += examples
        self._state.failed += len(reasons)
        self._state.reasons += reasons[: max(0, MOST_REASONS - len(self._state.reasons))]
        if time.monotonic() - self._saved >= _SAFE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Make the rows so far safe, whatever happens to this process."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _name(error, self._path) from None
        write_atomically(self._folder / _STATE, json.dumps(asdict(self._state)).encode())
        self._saved = time.monotonic()

    def finish(self) -> None:
        """Give the whole file its name, in the place of a file that has it."""
        self.save()
        self._file.close()
        (self._folder / _ANSWERS).replace(self._path)
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(OSError):  # somebody put a file of his own into it
            for name in (_ANSWERS, _STATE, _LOCK):
                (self._folder / name).unlink(missing_ok=True)
            self._folder.rmdir()

    def _append(self, content: bytes) -> None:
        try:
            self._file.write(content)
        except OSError as error:
            raise _name(error, self._path) from None
        self._state.size += len(content)

    def _read(self, identity: Mapping[str, Any], reporter: Reporter) -> _State:
        """Return the state that an earlier run left, if it belongs to the same archive and data."""
        new = _State(identity=identity, reasons=[])
        try:
            document = json.loads((self._folder / _STATE).read_bytes())
            old = _State(**document)
            old.reasons = [(name, reason) for name, reason in old.reasons]
            size = (self._folder / _ANSWERS).stat().st_size
        except FileNotFoundError:
            return new
        except (ValueError, TypeError) as error:
            reporter.log(f"{self._folder}: expected what an earlier run left, found: {error}; starting anew")
            return new
        now = json.loads(json.dumps(identity))
        changed = [name for name, value in now.items() if old.identity.get(name) != value]
        if changed or size < old.size:
            what = " and ".join(changed) if changed else "the end of its file"
            reporter.log(f"{self._folder}: {what} changed since that run; starting anew")
            return new
        reporter.log(f"{self._path}: going on behind {old.examples:,} examples that an earlier run answered")
        return old


def _lock(folder: Path, path: Path) -> int:
    """Hold a folder for this process, until the descriptor that is returned is closed."""
    while True:
        folder.mkdir(exist_ok=True)
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A run that ends removes its lock. Who opened it before has the lock of a file that nobody else sees.
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(handle), (folder / _LOCK).stat()):
                    return handle
        except BlockingIOError as error:
            os.close(handle)
            raise StageError(
                f"{path}: another process is writing it; wait for it to end, or give another --out"
            ) from error
        os.close(handle)


def _name(error: OSError, path: Path) -> OSError:
    """Put a path into an error that names none, as the system does when a disk is full."""
    if error.filename is None:
        error.filename = str(path)
    return error
