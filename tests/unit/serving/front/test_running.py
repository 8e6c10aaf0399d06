"""How long a child waits until it is started again, and when it hangs."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator

import pytest

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


@pytest.fixture
def running() -> Iterator[Running]:
    """A child with a process, of which 60 s without a beat are too much."""
    child = Running(Child(name="worker 1", command=("sleep", "600"), environment={}, rows=(0,), silent_s=60.0), [])
    child.begin()
    with subprocess.Popen(child.child.command, text=True) as child.process:
        try:
            yield child
        finally:
            child.process.kill()


@pytest.mark.parametrize(("beats", "seconds"), [(1, 60), (0, 600)], ids=["it worked", "it loads"])
def test_it_hangs_after_a_time_without_a_beat(running: Running, beats: int, seconds: int) -> None:
    assert running.process is not None
    running.kill_if_silent(beats, 1.0)
    for _ in range(seconds - (beats == 0)):
        running.kill_if_silent(beats, 1.0)
    assert running.process.poll() is None
    running.kill_if_silent(beats, 1.0)
    code = running.process.wait(10)
    assert running.reason(code) == f"worker 1 gave no sign of life for {seconds + 1} s, and was killed"


def test_each_beat_gives_it_all_of_the_time_again(running: Running) -> None:
    assert running.process is not None
    for beats in range(1, 20):
        for _ in range(50):
            running.kill_if_silent(beats, 1.0)
    assert running.process.poll() is None
    assert running.reason(-9).startswith("worker 1 was ended by signal 9")
