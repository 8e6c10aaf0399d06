"""A supervisor of small programs in place of workers, in processes of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.engine.process import kill_session, module_command, module_environment, start_child
from pipeline.serving.door import Door
from pipeline.serving.front.board import Board
from pipeline.serving.front.plan import BOARD_FILE, Child, Plan
from tests.command_line import free_port


def child(name: str, program: str, *arguments: object, **fields: object) -> Child:
    """A child that runs a program in Python; the private folder is its working directory."""
    command = (sys.executable, "-c", program, *map(str, arguments))
    return Child.model_validate({"name": name, "command": command, "environment": module_environment(), **fields})


@contextmanager
def supervised(folder: Path, children: Sequence[Child], *, workers: int = 1) -> Iterator[subprocess.Popen[str]]:
    """The supervisor's process for the length of a `with` block; all of its session is killed at the end."""
    Door().write(folder)
    Board.create(folder / BOARD_FILE, workers)
    Plan(host="127.0.0.1", port=free_port(), drain_s=5.0, children=tuple(children)).write(folder)
    command = module_command("pipeline.serving.front.supervisor", str(folder))
    with start_child(command, own_session=True, environment=module_environment()) as process:
        try:
            yield process
        finally:
            kill_session(process)
