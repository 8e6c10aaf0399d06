"""A clock for tests of deadlines."""

from __future__ import annotations


class Clock:
    """Time as the deadline sees it: it goes on by one second whenever it is looked at."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1
        return self.now
