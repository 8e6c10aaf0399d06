"""One-thread latency of several candidates, measured side by side in interleaved rounds."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from handlers.decode import InputSpec
from handlers.serving import RuntimeSpec
from pipeline.errors import StageError
from pipeline.measure import worker
from pipeline.process import module_command, module_environment
from pipeline.stage import Reporter


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

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Timing:
        """The inverse of `to_json`."""
        return cls(batch_size=document["batch_size"], rounds_s=tuple(value / 1e3 for value in document["rounds_ms"]))


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a file, and how it is run."""

    name: str
    folder: Path
    runtime: RuntimeSpec


def measure_latency(
    subjects: Sequence[Subject],
    *,
    inputs: Sequence[InputSpec],
    samples: Path,
    batch_sizes: Sequence[int],
    rounds: int,
    block_s: float,
    reporter: Reporter,
) -> dict[str, tuple[Timing, ...]]:
    """Time every subject in every round, one process each, pinned to one core.

    The order is turned by one from round to round, so that none always runs after the same other.

    Args:
        subjects: what to time.
        inputs: what they take.
        samples: a samples file; its first inputs are what is timed on.
        batch_sizes: examples per call.
        rounds: how often each is timed.
        block_s: length of one timed block, in seconds.
        reporter: told after each round.

    Returns:
        By subject name, one timing per batch size.

    Raises:
        StageError: a timing process ended by itself.
    """
    seconds: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        workers = [
            stack.enter_context(_Worker(subject, inputs=inputs, samples=samples, batch_sizes=batch_sizes))
            for subject in subjects
        ]
        for turn in range(rounds):
            first = turn % len(workers)
            for one in [*workers[first:], *workers[:first]]:
                for size in batch_sizes:
                    seconds.setdefault((one.name, size), []).append(one.time(size, block_s))
            reporter.progress("timing", turn + 1, rounds)
    return {
        subject.name: tuple(
            Timing(batch_size=size, rounds_s=tuple(seconds[subject.name, size])) for size in batch_sizes
        )
        for subject in subjects
    }


class _Worker:
    """A timing process, waited on for one answer at a time."""

    def __init__(
        self, subject: Subject, *, inputs: Sequence[InputSpec], samples: Path, batch_sizes: Sequence[int]
    ) -> None:
        self.name = subject.name
        job = {
            "folder": str(subject.folder),
            "runtime": subject.runtime.to_json(),
            "inputs": [spec.to_json() for spec in inputs],
            "samples": str(samples),
            "batch_sizes": list(batch_sizes),
            "core": _core(),
        }
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__
        self._process = subprocess.Popen(
            module_command(worker.__name__, json.dumps(job)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=module_environment(threads=subject.runtime.threads),
        )

    def __enter__(self) -> Self:
        try:
            self._read()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()
        self._errors.close()

    def time(self, batch_size: int, block_s: float) -> float:
        """Seconds per call over one block."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"batch_size": batch_size, "block_s": block_s}) + "\n")
        self._process.stdin.flush()
        return float(self._read()["seconds"])

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
            raise StageError(f"timing {self.name}: the process ended with {self._process.returncode}: {last}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _core() -> int | None:
    """The last core this process may use; None where a process cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return max(os.sched_getaffinity(0))
