"""Several processes on this machine that train together, as torchrun would start them, but much sooner.

They are forked from one process that has the large libraries already, so that a job of two takes a second and not ten.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pytest

from tests.command_line import free_port

_context = multiprocessing.get_context("forkserver")
# Nothing of `pipeline`: what a test runs is the code of the checkout that it lies in.
_context.set_forkserver_preload(
    [
        *("torch._dynamo", "torch.nn.parallel", "torch.profiler", "torchvision.transforms.v2", "safetensors.torch"),
        *("matplotlib.backends.backend_agg", "matplotlib.pyplot", "onnx.reference", "pydantic.main", "pydantic.plugin"),
        *("rich.progress", "rich.table", "typer", "filelock", "psutil", "PIL.Image"),
    ]
)
_LONGEST_S = 120


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended."""

    code: int | None
    stdout: str
    stderr: str


class Job:
    """Processes that were started together; they are ended with the block.

    Args:
        folder: folder for what they print.
        target: function that each of them calls.
        arguments: its arguments.
        count: number of processes.
        environment: further environment variables.
    """

    def __init__(
        self,
        folder: Path,
        target: Callable[..., None],
        *arguments: object,
        count: int = 2,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
        shared |= dict(environment or {})
        self._folder = folder
        self.processes = [
            _context.Process(
                target=_enter,
                args=(folder, {**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}, target, arguments),
            )
            for rank in range(count)
        ]

    def __enter__(self) -> Self:
        with pytest.MonkeyPatch.context() as patch:
            # The process that they are forked from starts now, once. The command line sets this for itself.
            patch.setenv("TORCH_CPP_LOG_LEVEL", "ERROR")
            for process in self.processes:
                process.start()
        return self

    def __exit__(self, *error: object) -> None:
        for process in self.processes:
            process.kill()
            process.join()

    def wait_for(self, text: str) -> None:
        """Wait until process 0 has written a text to standard error."""
        end = time.monotonic() + _LONGEST_S
        while text not in _text(self._folder / "0.stderr"):
            assert time.monotonic() < end, _text(self._folder / "0.stderr")
            assert self.processes[0].is_alive(), _text(self._folder / "0.stderr")
            time.sleep(0.005)

    def ended(self) -> list[Ended]:
        """Wait for all of them, and say how each ended."""
        for process in self.processes:
            process.join(_LONGEST_S)
        return [
            Ended(
                code=process.exitcode,
                stdout=_text(self._folder / f"{rank}.stdout"),
                stderr=_text(self._folder / f"{rank}.stderr"),
            )
            for rank, process in enumerate(self.processes)
        ]


def run_job(folder: Path, target: Callable[..., None], *arguments: object, **more: Any) -> list[Ended]:
    """Run a job to its end; the arguments are those of `Job`."""
    with Job(folder, target, *arguments, **more) as job:
        return job.ended()


def command(arguments: list[str]) -> None:
    """Run a command of the command line."""
    from pipeline.cli import main

    sys.argv = ["pipeline", *arguments]
    main()


def commands(arguments: list[list[str]]) -> None:
    """Run a command of the command line, another one in each process."""
    command(arguments[int(os.environ["RANK"])])


def _enter(folder: Path, environment: Mapping[str, str], target: Callable[..., None], arguments: Any) -> None:
    os.environ |= environment
    for stream, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(folder / f"{environment['RANK']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, stream)
        os.close(file)
    target(*arguments)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
