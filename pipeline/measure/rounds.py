"""Time everything once in every round, in an order that turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Timing:
    """The latency of one candidate at one batch size.

    Args:
        batch_size: examples per call.
        rounds_s: seconds per call, one value per round; the same index is the same round for every candidate.
    """

    batch_size: int
    rounds_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median over rounds, in seconds per call."""
        return statistics.median(self.rounds_s)

    def to_json(self) -> dict[str, Any]:
        """The timing as JSON values, in milliseconds."""
        rounds = [round(value * 1e3, 6) for value in self.rounds_s]
        return {"batch_size": self.batch_size, "median_ms": round(self.median_s * 1e3, 6), "rounds_ms": rounds}


class Timer(Protocol):
    """A subject that can be timed, a block at a time."""

    @property
    def name(self) -> str:
        """The name, unique among the timers that are timed together."""

    @property
    def batch_sizes(self) -> Sequence[int]:
        """The batch sizes at which it can be timed."""

    def time(self, batch_size: int, block_s: float) -> float:
        """The seconds per call over one block."""


def interleave(
    timers: Sequence[Timer], *, rounds: int, block_s: float, progress: Callable[[int], None]
) -> dict[str, tuple[Timing, ...]]:
    """Time everything in every round.

    Blocks of one batch size follow each other, so that figures that are compared were timed next to each other. The
    order turns by one from each row of blocks to the next, so that no timer always runs after the same other one.

    Args:
        timers: timers to time; a timer that waits for its turn takes no resources from the others.
        rounds: number of rounds; each timer is timed in each.
        block_s: length of one timed block, in seconds.
        progress: function that gets the number of finished rounds.

    Returns:
        Timings by name, one per batch size.
    """
    sizes = sorted({size for timer in timers for size in timer.batch_sizes})
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds):
        for place, size in enumerate(sizes):
            row = [timer for timer in timers if size in timer.batch_sizes]
            first = (turn + place) % len(row)
            for timer in [*row[first:], *row[:first]]:
                seconds.setdefault((timer.name, size), []).append(timer.time(size, block_s))
        progress(turn + 1)
    return {
        timer.name: tuple(
            Timing(batch_size=size, rounds_s=tuple(seconds[timer.name, size])) for size in timer.batch_sizes
        )
        for timer in timers
    }
