"""Processes: one of our modules in a process of its own, and the end of this one."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

_ROOT = str(Path(__file__).resolve().parent.parent)
# For processes that time or answer: as many threads as asked for, and idle ones sleep instead of spinning.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def module_command(module: str, *arguments: str) -> list[str]:
    """Run a module of this package with this interpreter; nothing of the user's working directory gets in its way.

    `-P`: a `torch.py` or a folder `handlers` lying in the working directory is not ours to import.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(*, threads: int | None = None) -> dict[str, str]:
    """This process's environment, with this very package first on the import path, installed or not.

    Args:
        threads: limit for the libraries that compute; theirs to choose if None.
    """
    inherited = os.environ.get("PYTHONPATH")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([_ROOT, inherited] if inherited else [_ROOT])}
    if threads is not None:
        environment |= dict.fromkeys(_THREADS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    return environment


def failure(done: subprocess.CompletedProcess[str]) -> str:
    """Why a process ended badly, in one clause: its signal, or its last line on standard error."""
    if done.returncode < 0:
        return f"its process was ended by signal {-done.returncode}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:500] if lines else f"its process ended with code {done.returncode}"


@contextlib.contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that every `finally` in it runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What is ignored, by `nohup` for example, stays ignored.
    numbers = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
