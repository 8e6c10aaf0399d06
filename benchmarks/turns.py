"""Processes that train in turns, so that whatever slows the machine slows all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager

from benchmarks import training_worker
from benchmarks.training_worker import Job, Turn

Turns = Mapping[str, Sequence[Turn]]


class Worker:
    """A process that trains in turns.

    Args:
        job: what it trains.
    """

    def __init__(self, job: Job) -> None:
        # Threads that wait for work must not spin: the turn is another's.
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": str(job.threads)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", training_worker.__name__, job.to_json()],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self) -> Turn:
        """Let it take its turn."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with code {self._process.wait()}; its error stands above")
        return Turn(**json.loads(line))

    def end(self) -> None:
        """End the process, with those that it started."""
        self._process.communicate()


@contextmanager
def workers(jobs: Mapping[str, Job]) -> Iterator[dict[str, Worker]]:
    """A worker for each job, by name; all have ended behind the block."""
    with ExitStack() as stack:
        started: dict[str, Worker] = {}
        for name, job in jobs.items():
            started[name] = Worker(job)
            stack.callback(started[name].end)
        yield started


def interleave(jobs: Mapping[str, Job], rounds: int) -> Turns:
    """Time jobs in rounds; each round begins with another one. A first round, in which they start, does not count."""
    turns: dict[str, list[Turn]] = {name: [] for name in jobs}
    names = list(jobs)
    with workers(jobs) as started:
        for name in names:
            started[name].turn()
        for number in range(rounds):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                turns[name].append(started[name].turn())
    return turns
