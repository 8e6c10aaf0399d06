"""The board: a file in memory that the processes of one server share. Each writes its own row, and all read all rows.

A row says how a worker is and what it has counted. Whoever is asked for metrics, or whether the server is ready, can
so answer for all workers. A row outlives its process: counts go on where they were.
"""

from __future__ import annotations

import mmap
import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

# Steps of an answer whose times are counted, and the upper bounds of the times, in seconds.
STEPS = ("queue", "decode", "predict", "encode", "whole")
BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Statuses that are counted; any other one counts as the last.
STATUSES = (200, 400, 401, 403, 404, 405, 408, 411, 413, 415, 421, 422, 431, 500, 503, 0)

_FIELDS = ("state", "pid", "restarts", "connections", "requests", "batches", "examples", "beats")
_STATUS = len(_FIELDS)
_TIMES = _STATUS + len(STATUSES)
_TIME_CELLS = len(BUCKETS) + 2  # one above the largest bound, and the sum
CELLS = _TIMES + len(STEPS) * _TIME_CELLS
_BYTES = struct.calcsize("d")
# Behind the rows: whether the first process answers for the workers.
_FLAGS = 1


class WorkerState(IntEnum):
    """How a worker is."""

    ABSENT = 0
    LOADING = 1
    READY = 2
    LEAVING = 3


_READY = float(WorkerState.READY)


@dataclass(frozen=True, kw_only=True)
class Times:
    """Times of one step.

    Args:
        counts: number of times up to each bound of `BUCKETS`, and above the last one; not cumulated.
        total: sum of all of them, in seconds.
    """

    counts: tuple[int, ...]
    total: float


class Row:
    """The row of one worker.

    Args:
        cells: the row's cells, float64: a count up to 2**53 is exact.
    """

    def __init__(self, cells: memoryview[float]) -> None:
        self._cells = cells

    @property
    def state(self) -> WorkerState:
        """How the worker is."""
        return WorkerState(int(self._cells[0]))

    @state.setter
    def state(self, state: WorkerState) -> None:
        self._cells[0] = float(state)

    @property
    def is_ready(self) -> bool:
        """Whether the worker is ready; each request asks for it."""
        return self._cells[0] == _READY

    @property
    def pid(self) -> int:
        """Its process; 0 while there is none."""
        return int(self._cells[1])

    @pid.setter
    def pid(self, pid: int) -> None:
        self._cells[1] = float(pid)

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return int(self._cells[2])

    def count_restart(self) -> None:
        """Count that it was started again."""
        self._cells[2] += 1

    @property
    def connections(self) -> int:
        """Its open connections."""
        return int(self._cells[3])

    def count_connections(self, number: int) -> None:
        """Note how many connections it has open now."""
        self._cells[3] = float(number)

    @property
    def beats(self) -> int:
        """How often its process has shown that it lives, since it was started."""
        return int(self._cells[7])

    def beat(self) -> None:
        """Show that its process lives."""
        self._cells[7] += 1

    def begin(self) -> None:
        """Note that its process is being started; counts go on."""
        self.state = WorkerState.LOADING
        self.count_connections(0)
        self._cells[7] = 0

    def count_batch(self, requests: int, examples: int) -> None:
        """Count a batch that the model answered."""
        self._cells[4] += requests
        self._cells[5] += 1
        self._cells[6] += examples

    @property
    def batches(self) -> tuple[int, int, int]:
        """Number of requests that were answered in batches, of batches, and of examples in them."""
        return int(self._cells[4]), int(self._cells[5]), int(self._cells[6])

    def count_status(self, status: int) -> None:
        """Count a response."""
        index = _STATUS_INDEX.get(status, len(STATUSES) - 1)
        self._cells[_STATUS + index] += 1

    @property
    def statuses(self) -> dict[int, int]:
        """Number of responses by status; 0 is any status that is not named."""
        return {status: int(self._cells[_STATUS + index]) for index, status in enumerate(STATUSES)}

    def count_time(self, step: int, seconds: float) -> None:
        """Count how long a step took.

        Args:
            step: its place in `STEPS`.
            seconds: its time.
        """
        place = _TIMES + step * _TIME_CELLS
        self._cells[place + bisect_left(BUCKETS, seconds)] += 1
        self._cells[place + _TIME_CELLS - 1] += seconds

    def times(self, step: int) -> Times:
        """Return the times of a step by its place in `STEPS`."""
        place = _TIMES + step * _TIME_CELLS
        counts = self._cells[place : place + _TIME_CELLS - 1]
        return Times(counts=tuple(map(int, counts)), total=self._cells[place + _TIME_CELLS - 1])


_STATUS_INDEX = {status: index for index, status in enumerate(STATUSES)}


class Board:
    """All rows.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self._cells = memoryview(self._map).cast("d")
        count = len(self._cells) // CELLS
        self.rows: Sequence[Row] = tuple(
            Row(self._cells[index * CELLS : (index + 1) * CELLS]) for index in range(count)
        )
        self._flags = self._cells[count * CELLS :]

    @classmethod
    def create(cls, path: Path, workers: int) -> Board:
        """Make a board of empty rows."""
        path.write_bytes(bytes((workers * CELLS + _FLAGS) * _BYTES))
        return cls(path)

    @property
    def ready(self) -> int:
        """Number of workers that are ready."""
        return [row.is_ready for row in self.rows].count(True)

    @property
    def first_process_answers(self) -> bool:
        """Whether it answers for the workers; it may do so for a moment after one is ready."""
        return any(self._flags)  # the board of an earlier release has none

    @first_process_answers.setter
    def first_process_answers(self, answers: bool) -> None:
        self._flags[0] = float(answers)

    def is_ahead(self, row: Row) -> bool:
        """Tell whether another worker that is ready has fewer connections than this row's."""
        others = [other.connections for other in self.rows if other is not row and other.is_ready]
        return bool(others) and row.connections > min(others)

    @property
    def reached(self) -> int:
        """Number of workers that are ready and that every new connection reaches."""
        ready = self.ready
        return 0 if self.first_process_answers else ready
