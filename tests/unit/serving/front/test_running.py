"""How long a child waits until it is started again."""

from __future__ import annotations

import itertools

from pipeline.serving.front.plan import Child
from pipeline.serving.front.running import Running


def pauses(times: int, *, was_ready: bool) -> list[float]:
    """The pauses of a child that ends as soon as it is started, or as soon as a worker is ready."""
    running = Running(Child(name="worker 1", command=("true",), environment={}), [])
    made = []
    for _ in range(times):
        running.begin()
        running.was_ready = was_ready
        made.append(running.next_pause())
    return made


def test_one_that_is_never_ready_soon_waits_long() -> None:
    assert pauses(9, was_ready=False) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_one_that_was_ready_waits_briefly_20_times_and_does_not_go_on_so_for_ever() -> None:
    made = pauses(50, was_ready=True)
    assert all(before <= pause for before, pause in itertools.pairwise(made))
    assert max(made[:20]) < 2.0
    assert made[-10:] == [10.0] * 10
