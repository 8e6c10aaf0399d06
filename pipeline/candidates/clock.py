"""The time that a search may take, counted over interruptions."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline.kept import read_kept, write_kept
from pipeline.stage import Reporter


class TimeIsUpError(Exception):
    """The search's time is over; what is finished counts."""


class Clock:
    """Counts the seconds of a search over interruptions, and ends it from within whatever reports progress.

    Args:
        file: where the seconds used so far are kept.
        limit_s: of all runs together.
        reporter: told what is reported here.
    """

    def __init__(self, file: Path, limit_s: float, reporter: Reporter) -> None:
        self._file = file
        self._limit_s = limit_s
        self._reporter = reporter
        kept = read_kept(file, reporter.log)
        self._before = 0.0 if kept is None else float(kept)
        self._started = time.monotonic()
        self._saved = self._before

    @property
    def used_s(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._started

    def check(self) -> None:
        """End the search if its time is over.

        Raises:
            TimeIsUpError: it is.
        """
        if self.used_s > self._saved + 1:
            self._saved = self.used_s
            write_kept(self._file, f"{self._saved:.1f}\n".encode())
        if self.used_s > self._limit_s:
            raise TimeIsUpError

    def log(self, message: str) -> None:
        """One finished line."""
        self._reporter.log(message)

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """How far a task is; the place where a search ends whose time is over."""
        self._reporter.progress(task, completed, total, detail)
        if completed < total:
            self.check()
