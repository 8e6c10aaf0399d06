"""How a command ends that was interrupted."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import atexit, os, signal, sys
from pipeline import cli
from pipeline.serving import lifecycle

def status(port):
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        print("put in order")

lifecycle.status = status
atexit.register(print, "interpreter taken apart")
sys.argv = ["pipeline", "status"]
cli.main()
"""


def test_it_ends_when_everything_is_in_order_and_not_seconds_later() -> None:
    process = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout, process.stderr) == (130, "put in order\n", "error: interrupted\n")
