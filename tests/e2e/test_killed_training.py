"""`pipeline train`, killed at twenty random moments, ends with the weights of a training that nobody disturbed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import pytest

# Checkpoints of two megabytes take some milliseconds to write, an epoch some more.
RECIPE = """
name = "killed"
[model]
name = "mlp"
arguments = { hidden = [400, 400], dropout = 0.1 }
[data]
name = "blobs"
[train]
epochs = 200
batch_size = 64
keep = "best"
ema_decay = 0.9
"""
RUN = "run"
EPOCH = "train: epoch "
HALF_WRITTEN = "train-*/.epoch-*"
# Less than the write of a checkpoint takes.
WRITE_S = 0.004
# Far more than a start and all epochs take.
LONGEST_S = 300.0


Moment = Literal["start", "epoch", "write"]


@dataclass(frozen=True, kw_only=True)
class Kill:
    """When a process is killed.

    Args:
        after: what is waited for: the process itself, lines about epochs, or checkpoints that are being written.
        count: number of these, 1 or more.
        delay_s: time from then on, in seconds.
    """

    after: Moment
    count: int
    delay_s: float


def moments(seed: int, *, start_s: float, epoch_s: float) -> list[Kill]:
    """Twenty moments: in the start of the process, anywhere in an epoch, and in the write of a checkpoint.

    Args:
        seed: seed of the draws.
        start_s: time from the start of the process to the end of the first epoch, in seconds.
        epoch_s: time of an epoch, in seconds.
    """
    draw = random.Random(seed)
    kinds: list[tuple[Moment, int, float]] = [("start", 3, start_s), ("epoch", 9, epoch_s), ("write", 8, WRITE_S)]
    kills = [
        Kill(after=after, count=draw.randint(1, 5), delay_s=draw.uniform(0, longest_s))
        for after, number, longest_s in kinds
        for _ in range(number)
    ]
    draw.shuffle(kills)
    return kills


class Training:
    """The real command in a folder.

    Args:
        folder: folder with the recipe.
        run_dir: name of the run directory in it.

    Attributes:
        lines: lines that it wrote about its work.
        times: times from its start to the end of each epoch, in seconds.
    """

    def __init__(self, folder: Path, run_dir: str = RUN) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "pipeline", "train", "killed.toml", "--run-dir", run_dir]
        self.scratch = folder / run_dir / ".scratch"
        self.lines: list[str] = []
        self.times: list[float] = []
        self._began = time.monotonic()
        self._earlier = set(self.scratch.glob(HALF_WRITTEN))
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.process.kill()
        self.end()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self.lines.append(line)
                if EPOCH in line:
                    self.times.append(time.monotonic() - self._began)

    def half_written(self) -> set[Path]:
        """Checkpoints of this process that have not got their names yet."""
        return set(self.scratch.glob(HALF_WRITTEN)) - self._earlier

    def wait_for(self, kill: Kill) -> None:
        """Wait for the moment, or for the end of the process."""
        seen: set[Path] = set()
        end = time.monotonic() + LONGEST_S
        while self.process.poll() is None:
            assert time.monotonic() < end, "".join(self.lines)
            match kill.after:
                case "start":
                    break
                case "epoch":
                    if len(self.times) >= kill.count:
                        break
                    time.sleep(0.002)
                case "write":
                    seen |= self.half_written()
                    if len(seen) >= kill.count:
                        break
        time.sleep(kill.delay_s)

    def end(self) -> int:
        """Wait for the end of the process; the exit code."""
        code = self.process.wait(timeout=LONGEST_S)
        self._reader.join()
        return code


def trained(folder: Path, run_dir: str = RUN) -> dict[str, bytes]:
    """The weights and the history of a finished training."""
    names = ("weights.safetensors", "history.json", "metrics.json", "learning_curves.png")
    return {name: (folder / run_dir / "train" / name).read_bytes() for name in names}


@pytest.mark.slow
def test_a_training_that_is_killed_twenty_times_ends_with_the_same_weights(tmp_path: Path) -> None:
    (tmp_path / "killed.toml").write_text(RECIPE)
    with Training(tmp_path, "undisturbed") as undisturbed:
        assert undisturbed.end() == 0, "".join(undisturbed.lines)

    first_s, last_s = undisturbed.times[0], undisturbed.times[-1]
    cut, completed = 0, []
    for kill in moments(seed=0, start_s=first_s, epoch_s=(last_s - first_s) / (len(undisturbed.times) - 1)):
        with Training(tmp_path) as training:
            training.wait_for(kill)
            training.process.kill()
            assert training.end() == -signal.SIGKILL, f"{kill}: {''.join(training.lines)}"
        cut += len(training.half_written())
        completed += [line for line in training.lines if "train: continues after epoch" in line]
    with Training(tmp_path) as last:
        assert last.end() == 0, "".join(last.lines)

    assert trained(tmp_path) == trained(tmp_path, "undisturbed")
    assert cut >= 4, "too few kills fell into the write of a checkpoint"
    assert len(completed) >= 12
    assert list(last.scratch.glob(HALF_WRITTEN)) == []
