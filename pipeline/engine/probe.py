"""One thing that a machine must have: what was looked at, what was found, how to mend it."""

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
    """One thing that was looked at.

    Args:
        name: what it is.
        ok: whether it is as it must be.
        found: what was found, one line.
        remedy: how to mend it; empty where it is fine.
        required: False for what a build and a serve can do without.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""
    required: bool = True

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


def probe(python: str, program: str) -> tuple[bool, str]:
    """Run a program in a process of its own, so that a broken library can neither end nor slow this one.

    Args:
        python: the interpreter.
        program: its source; prints one line when all is well.

    Returns:
        Whether it ended well, and the last line it printed, of its errors if it failed.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # -P: a file of the user's that is named like a library must not be taken for it.
    command = [python, "-P", "-W", "ignore", "-c", program]
    try:
        ended = run_child(command, environment=environment, timeout_s=_PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        return False, f"no answer in {_PROBE_TIMEOUT_S:g} s"
    if ended.returncode == 0:
        return True, last_line(ended.stdout)
    return False, failure(ended.returncode, ended.stderr)


def last_line(text: str) -> str:
    """The last line that says something; empty where none does."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
