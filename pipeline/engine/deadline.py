"""A limit on the time that work may take. It is handed down to every function that takes long."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pipeline.engine.kept import read_kept, write_kept


class TimeIsUpError(Exception):
    """The time is over. The results that are finished count."""


class TimeLimit(Protocol):
    """A limit that long work checks between two steps."""

    def check(self) -> None:
        """End the work if its time is over.

        Raises:
            TimeIsUpError: the time is over.
        """


class _Unlimited:
    """No limit."""

    def check(self) -> None:
        """Go on."""


UNLIMITED: TimeLimit = _Unlimited()


class Deadline:
    """Counts the seconds that some work takes, also when it is interrupted and goes on later.

    Args:
        file: file that keeps the seconds used so far.
        limit_s: longest time of all runs together, in seconds.
        log: called with a line of text if the kept seconds are damaged.
    """

    def __init__(self, file: Path, limit_s: float, log: Callable[[str], None]) -> None:
        self._file = file
        self.limit_s = limit_s
        kept = read_kept(file, log)
        self._before = 0.0 if kept is None else float(kept)
        self._started = time.monotonic()
        self._saved = self._before

    @property
    def used_s(self) -> float:
        """Seconds used so far."""
        return self._before + time.monotonic() - self._started

    def check(self) -> None:
        """End the work if its time is over.

        Raises:
            TimeIsUpError: the time is over.
        """
        if self.used_s > self._saved + 1:
            self._saved = self.used_s
            write_kept(self._file, f"{self._saved:.1f}\n".encode())
        if self.used_s > self.limit_s:
            raise TimeIsUpError
