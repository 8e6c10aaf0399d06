"""Trains in turns: `python -m benchmarks.training_worker JOB`.

A line on standard input starts a turn, which ends with a line of figures on standard output. The end of the input ends
the training.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import Literal, assert_never

import psutil
import torch

import pipeline
from benchmarks import textbook
from benchmarks.step_products import layers_of, step_products
from pipeline.engine.process import reserve_stdout
from pipeline.engine.stage import Silent

RECIPE = "fashion-cnn"
BATCH_SIZE = 128
# Pictures that are trained on in a turn before the clock starts: other processes had the caches, and those of a
# DataLoader went on with a few batches meanwhile.
_LEAD = 1280

Kind = Literal["ours", "textbook", "matrix products"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a worker trains.

    Args:
        kind: whose loop it is.
        turn: pictures of a turn; 0 for a whole epoch and its validation.
        threads: number of threads of torch.
        workers: number of processes of the textbook's DataLoader.
        mixed_precision: number format of ours.
        epochs: number of epochs that ours plans for.
        cores: cores that the worker may run on.
        folder: folder with the textbook's unpacked data.
    """

    kind: Kind
    turn: int
    folder: str
    cores: tuple[int, ...]
    threads: int = 1
    workers: int = 0
    mixed_precision: Literal["off", "bf16"] = "off"
    epochs: int = 12

    def to_json(self) -> str:
        """The job as it is given to the worker."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, kw_only=True)
class Turn:
    """The figures of a turn.

    Args:
        pictures: number of pictures that were trained on.
        wall_s: time that it took, in seconds.
        cpu_s: processor time of the worker and its own processes, in seconds.
        accuracy: accuracy on validation after it; None after a turn of less than an epoch.
    """

    pictures: int
    wall_s: float
    cpu_s: float
    accuracy: float | None = None


class Turns:
    """Waits for turns, and tells what each took."""

    def __init__(self) -> None:
        self._answers = reserve_stdout()
        self._process = psutil.Process()
        self._started = (0.0, 0.0)

    def wait(self) -> None:
        """Wait for the next turn; the end of the input ends the process."""
        if not sys.stdin.readline():
            raise SystemExit(0)

    def start(self) -> None:
        """Start the clock."""
        self._started = self._clock()

    def end(self, pictures: int, *, accuracy: float | None = None) -> None:
        """Stop the clock, and tell what it shows."""
        wall_s, cpu_s = (now - then for now, then in zip(self._clock(), self._started, strict=True))
        turn = Turn(pictures=pictures, wall_s=wall_s, cpu_s=cpu_s, accuracy=accuracy)
        self._answers.write(json.dumps(asdict(turn)) + "\n")
        self._answers.flush()

    def _clock(self) -> tuple[float, float]:
        # Workers of a DataLoader that have ended are among the children that were waited for.
        ended = self._process.cpu_times()
        children = ended.children_user + ended.children_system
        for child in self._process.children(recursive=True):
            times = child.cpu_times()
            children += times.user + times.system
        return time.perf_counter(), time.process_time() + children


class Steps(Silent):
    """Stops a training of ours, which reports every ten batches, for the turns of others; no turn spans two epochs."""

    def __init__(self, turns: Turns, job: Job) -> None:
        self._turns = turns
        self._batches, self._lead = job.turn // BATCH_SIZE, _LEAD // BATCH_SIZE
        self._epochs = job.epochs
        self._asked: int | None = None
        self._began: int | None = None

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:  # noqa: ARG002
        """Go on, or wait for the next turn."""
        if task != "train":
            return
        per_epoch = total // self._epochs
        if self._began is not None and completed - self._began >= self._batches:
            self._turns.end((completed - self._began) * BATCH_SIZE)
            self._asked = self._began = None
        if self._asked is None:
            self._turns.wait()
            self._asked = completed
        left = per_epoch - completed % per_epoch
        if self._began is None and left < self._batches + self._lead:
            self._asked = completed + left  # too little is left of this epoch
        elif self._began is None and completed - self._asked >= self._lead:
            self._began = completed
            self._turns.start()


class Epochs(Silent):
    """Stops a training of ours after each epoch and its validation."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    def scalars(self, task: str, epochs: Sequence[Mapping[str, float]]) -> None:  # noqa: ARG002
        """Tell the figures of the last epoch, and wait for the next turn."""
        if epochs:
            self._turns.end(0, accuracy=epochs[-1]["accuracy/validation"])
        self._turns.wait()
        self._turns.start()


def main() -> None:
    """Train in turns until nobody asks any more."""
    job = Job(**json.loads(sys.argv[1]))
    os.sched_setaffinity(0, job.cores)
    torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    turns = Turns()
    match job.kind:
        case "ours":
            _train_ours(job, turns)
        case "textbook":
            _train_by_the_book(job, turns)
        case "matrix products":
            _multiply(job, turns)
        case unreachable:
            assert_never(unreachable)


def _train_ours(job: Job, turns: Turns) -> None:
    with tempfile.TemporaryDirectory(prefix="training-") as name:
        pipeline.train(
            RECIPE,
            run_dir=Path(name) / "run",
            overrides=(
                "train.device=cpu",
                f"train.mixed_precision={job.mixed_precision}",
                f"train.batch_size={BATCH_SIZE}",
                f"train.epochs={job.epochs}",
            ),
            reporter=Steps(turns, job) if job.turn else Epochs(turns),
        )


def _train_by_the_book(job: Job, turns: Turns) -> None:
    train, validation = textbook.load(Path(job.folder), workers=job.workers)
    network = textbook.build()
    optimizer = textbook.adam(network)
    if job.turn:
        epochs = (textbook.train_epoch(network, train, optimizer) for _ in count())
        _take_turns(chain.from_iterable(epochs), job.turn, turns)
    while True:
        turns.wait()
        turns.start()
        pictures = sum(textbook.train_epoch(network, train, optimizer))
        turns.end(pictures, accuracy=textbook.accuracy(network, validation))


def _take_turns(steps: Iterator[int], pictures: int, turns: Turns) -> None:
    """Divide steps, each with its number of pictures, into turns; between two, some steps belong to none."""
    seen, counting = 0, False
    turns.wait()
    for step in steps:
        seen += step
        if not counting and seen >= _LEAD:
            seen, counting = 0, True
            turns.start()
        elif counting and seen >= pictures:
            turns.end(seen)
            turns.wait()
            seen, counting = 0, False


def _multiply(job: Job, turns: Turns) -> None:
    products = step_products(layers_of(textbook.build(), torch.zeros(BATCH_SIZE, 1, 28, 28)))
    steps = job.turn // BATCH_SIZE
    while True:
        turns.wait()
        for product in products:  # the first ones after a turn of others are slower
            product()
        turns.start()
        for _ in range(steps):
            for product in products:
                product()
        turns.end(steps * BATCH_SIZE)


if __name__ == "__main__":
    main()
