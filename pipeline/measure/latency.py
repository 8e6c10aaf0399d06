"""Measure the latency of several subjects side by side: each has a pinned process, and rounds are interleaved."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_command, module_environment, start_child
from pipeline.engine.stage import Reporter
from pipeline.errors import StageError
from pipeline.measure import worker
from pipeline.measure.rounds import Timing, interleave


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A subject of timing, and the module that times it.

    Args:
        name: name, unique among the subjects that are timed together.
        worker: name of a module that, run as a program, calls `pipeline.measure.worker.serve`.
        job: job for that module, as JSON values.
        batch_sizes: examples per call.
        threads: number of threads it computes with; its process is pinned to as many cores.
        own_code: whether that module runs the user's own code. If not, it runs a model file, which somebody else may
            have made: its process gets a short environment, and may write nothing where this system can enforce that.
    """

    name: str
    worker: str
    job: Mapping[str, Any]
    batch_sizes: tuple[int, ...]
    threads: int
    own_code: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The figures that one subject's process measured.

    Args:
        timings: timings, one per batch size.
        load_s: time from the file to the first answer, in seconds; the library is imported before.
        peak_bytes: the most memory the process held, over all batch sizes, interpreter and libraries included.
    """

    timings: tuple[Timing, ...]
    load_s: float
    peak_bytes: int


def file_subject(
    name: str,
    folder: Path,
    runtime: RuntimeSpec,
    *,
    inputs: Sequence[InputSpec],
    samples: Path,
    batch_sizes: Sequence[int],
) -> Subject:
    """Make a subject of a model file, run as it is served.

    Args:
        name: name, unique among the subjects that are timed together.
        folder: folder that holds the file.
        runtime: settings with which it runs, including its threads.
        inputs: specs of its inputs.
        samples: samples file; its first inputs are used for timing.
        batch_sizes: examples per call.
    """
    job = {
        "folder": str(folder),
        "runtime": runtime.to_json(),
        "inputs": [spec.to_json() for spec in inputs],
        "samples": str(samples),
    }
    return Subject(
        name=name,
        worker=worker.__name__,
        job=job,
        batch_sizes=tuple(batch_sizes),
        threads=runtime.threads,
    )


def measure_latency(
    subjects: Sequence[Subject], *, rounds: int, block_s: float, reporter: Reporter
) -> dict[str, Measurement]:
    """Time every subject in every round; see `interleave`.

    Args:
        subjects: subjects to time.
        rounds: number of rounds; each subject is timed in each.
        block_s: length of one timed block, in seconds.
        reporter: reporter that hears of each finished round.

    Returns:
        Measurements by subject name.

    Raises:
        StageError: a timing process ended by itself.
    """
    with ExitStack() as stack:
        processes = [stack.enter_context(TimingProcess(subject)) for subject in subjects]
        # They are killed all at once: while this process waits for one, dozens of others would go on loading libraries.
        stack.callback(_kill_all, processes)
        for process in processes:
            process.load()
        timings = interleave(
            processes,
            rounds=rounds,
            block_s=block_s,
            progress=lambda count: reporter.progress("timing", count, rounds),
        )
        return {
            process.name: Measurement(
                timings=timings[process.name], load_s=process.load_s, peak_bytes=process.peak_bytes
            )
            for process in processes
        }


def _kill_all(processes: Sequence[TimingProcess]) -> None:
    for process in processes:
        process.kill()


class TimingProcess:
    """A context manager of a subject's process, which gives one answer at a time; `load` must be called first."""

    def __init__(self, subject: Subject) -> None:
        self.name = subject.name
        self.batch_sizes = subject.batch_sizes
        self.load_s = 0.0
        self.peak_bytes = 0
        job = {**subject.job, "batch_sizes": list(subject.batch_sizes), "cores": _cores(subject.threads)}
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  closed in __exit__
        command = module_command if subject.own_code else confined_command
        self._process = start_child(
            command(subject.worker, json.dumps(job)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            environment=module_environment(threads=subject.threads, own_code=subject.own_code),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        self._process.wait()
        # What the user's code started may hold the other ends of the pipes, so nothing more is read from them.
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            assert stream is not None
            with contextlib.suppress(BrokenPipeError):  # it ended before it read its last request
                stream.close()

    def kill(self) -> None:
        """End the process without waiting for its end."""
        self._process.kill()

    def load(self) -> None:
        """Wait until the process has imported its libraries, then load and warm up the subject."""
        self._read()
        self.load_s = float(self._ask({})["load_s"])

    def time(self, batch_size: int, block_s: float) -> float:
        """The seconds per call over one block."""
        answer = self._ask({"batch_size": batch_size, "block_s": block_s})
        self.peak_bytes = int(answer["peak_bytes"])
        return float(answer["seconds"])

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the reason why it ended is read below
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            self._errors.seek(0)
            raise StageError(f"timing {self.name}: {failure(code, self._errors.read())}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _cores(count: int) -> list[int] | None:
    """The last `count` cores that this process may use; None where a process cannot be pinned."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return sorted(os.sched_getaffinity(0))[-count:]
