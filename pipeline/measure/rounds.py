"""Interleaved rounds: everything is timed once in every round, in an order that turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Latency of one candidate at one batch size.

    Args:
        batch_size: examples per call.
        rounds_s: seconds per call, one value per round; the same index is the same round for every candidate.
    """

    batch_size: int
    rounds_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """Median over rounds, seconds per call."""
        return statistics.median(self.rounds_s)

    def to_json(self) -> dict[str, Any]:
        """As plain data, in milliseconds."""
        rounds = [round(value * 1e3, 6) for value in self.rounds_s]
        return {"batch_size": self.batch_size, "median_ms": round(self.median_s * 1e3, 6), "rounds_ms": rounds}


class Timer(Protocol):
    """Something that can be timed, a block at a time."""

    @property
    def name(self) -> str:
        """Unique among those timed together."""

    @property
    def batch_sizes(self) -> Sequence[int]:
        """What it can be timed at."""

    def time(self, batch_size: int, block_s: float) -> float:
        """Seconds per call over one block."""


def interleave(
    timers: Sequence[Timer], *, rounds: int, block_s: float, progress: Callable[[int], None]
) -> dict[str, tuple[Timing, ...]]:
    """Time everything in every round.

    Blocks of one batch size follow each other, so that what is compared was timed next to each other; the order is
    turned by one from block row to block row, so that none always runs after the same other.

    Args:
        timers: what is timed; the one whose turn it is not takes nothing from the others.
        rounds: how often each is timed.
        block_s: length of one timed block, in seconds.
        progress: told the number of finished rounds.

    Returns:
        By name, one timing per batch size.
    """
    sizes = sorted({size for timer in timers for size in timer.batch_sizes})
    seconds: dict[tuple[str, int], list[float]] = {}
    for turn in range(rounds):
        for place, size in enumerate(sizes):
            row = [timer for timer in timers if size in timer.batch_sizes]
            first = (turn + place) % len(row)
            for one in [*row[first:], *row[:first]]:
                seconds.setdefault((one.name, size), []).append(one.time(size, block_s))
        progress(turn + 1)
    return {
        timer.name: tuple(
            Timing(batch_size=size, rounds_s=tuple(seconds[timer.name, size])) for size in timer.batch_sizes
        )
        for timer in timers
    }
