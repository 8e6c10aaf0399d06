"""Checks of what a machine must have, and a probe that runs a program in a process of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.engine.process import failure, run_child

MEND_ENVIRONMENT = "run `make set-up`, or install what requirements.lock pins into this environment"

_PROBE_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of one check of the machine.

    Args:
        name: name of the thing that was checked.
        ok: whether it is as it must be.
        found: line that describes what is there.
        remedy: how to mend it; empty where it is fine.
        required: whether building and serving need it.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """The check as a JSON object."""
        return asdict(self)


def probe(python: str, program: str) -> tuple[bool, str]:
    """Run a program in a process of its own, so that a broken library can neither end nor slow this one.

    Args:
        python: path of the interpreter.
        program: source of the program; it prints one line when all is well.

    Returns:
        Whether it succeeded, and the last line that it printed, or why it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # With -P, a file of the user's that is named like a library is not taken for that library.
    command = [python, "-P", "-W", "ignore", "-c", program]
    try:
        process = run_child(command, environment=environment, timeout_s=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False, f"no answer in {_PROBE_TIMEOUT_S:g} s"
    if process.returncode == 0:
        return True, last_line(process.stdout)
    return False, failure(process.returncode, process.stderr)


def last_line(text: str) -> str:
    """The last line that says something; empty where none does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
