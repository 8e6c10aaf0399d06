"""What children leave behind when they end."""

from __future__ import annotations

import subprocess
import sys

# A child ends before its own child does. Another one ends with a code that somebody still waits for.
PROGRAM = """
import os, subprocess, time
import psutil
from pipeline.serving.front.clean_start import adopt_orphans, reap_orphans

def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)

def ended():
    return {child.pid for child in psutil.Process().children() if child.status() == psutil.STATUS_ZOMBIE}

adopt_orphans()
known = subprocess.Popen(["sh", "-c", "exit 7"])
subprocess.run(["sh", "-c", "sleep 0.05 &"], stdout=subprocess.DEVNULL, check=True)
until(lambda: len(ended()) == 2)
reap_orphans([known.pid])
print(ended() == {known.pid}, known.wait())
"""


def test_processes_that_children_leave_behind_are_let_go_and_no_other() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert (ended.stdout, ended.stderr) == ("True 7\n", "")
