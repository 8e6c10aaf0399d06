"""The command line as a person runs it: in a process of its own, with an exit code and one line of error."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import main

Finished = subprocess.CompletedProcess[str]


def run(*arguments: object, cwd: Path | None = None) -> Finished:
    """Run a command of the command line to its end."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300)


def run_here(*arguments: object, cwd: Path | None = None) -> Finished:
    """The same in this process, which has loaded torch already; without a terminal."""
    said, complaints = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        open(os.devnull) as nothing,  # noqa: PTH123 - a device
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complaints),
    ):
        if cwd is not None:
            patch.chdir(cwd)
        patch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # main sets it for this process otherwise
        patch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
        patch.setattr(sys, "stdin", nothing)
        with pytest.raises(SystemExit) as ended:
            main()
    code = ended.value.code
    assert code is None or isinstance(code, int)
    return Finished(sys.argv, code or 0, said.getvalue(), complaints.getvalue())


@contextlib.contextmanager
def running(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that is killed where the block ends before it: an error in the block waits for no server to end."""
    with subprocess.Popen(command, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def error_line(ended: Finished) -> str:
    """The error a person sees: one line on standard error, nothing on standard output."""
    assert ended.stdout == ""
    lines = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.stderr
    assert "Traceback" not in ended.stderr
    return lines[0]


def free_port() -> int:
    """A port of this host that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
