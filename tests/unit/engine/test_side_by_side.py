"""Calls side by side: results in order, errors in their turn, and no moment at which Ctrl-C leaves anybody waiting."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pipeline
from pipeline.engine.side_by_side import side_by_side

# It raises KeyboardInterrupt at one instruction of the main thread after the other, as a signal may come at any.
INTERRUPTED = """
import os, sys, time
from pipeline.engine.side_by_side import side_by_side

def interrupted_at(moment):
    passed = 0

    def trace(frame, event, argument):
        nonlocal passed
        if not frame.f_code.co_filename.endswith(("side_by_side.py", "threading.py", "thread.py", "queue.py")):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            passed += 1
            if passed == moment:
                sys.settrace(None)
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        assert list(side_by_side(lambda item: time.sleep(0.0003) or item, range(5), at_once=2)) == list(range(5))
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False

moment = 1
while interrupted_at(moment):
    moment += 1
print(moment, flush=True)
"""


def test_results_come_in_order_however_long_each_takes() -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item * item

    assert list(side_by_side(slow_first, range(7), at_once=3)) == [0, 1, 4, 9, 16, 25, 36]
    assert list(side_by_side(slow_first, [], at_once=3)) == []


def test_calls_are_under_way_together() -> None:
    together = threading.Barrier(3, timeout=20)
    assert sorted(side_by_side(lambda _: together.wait(), range(3), at_once=3)) == [0, 1, 2]


def test_an_error_is_raised_in_its_turn_and_nothing_begins_after_it() -> None:
    begun = []

    def fails(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise OSError("one")
        return item

    results = side_by_side(fails, range(1000), at_once=1)
    assert next(results) == 0
    with pytest.raises(OSError, match="one"):
        next(results)
    time.sleep(0.01)
    count = len(begun)
    time.sleep(0.02)
    assert len(begun) == count


def test_ctrl_c_at_any_instruction_leaves_nobody_waiting() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) > 200


def test_threads_of_this_package_are_started_where_nobody_waits_for_them() -> None:
    starts = re.compile(r"concurrent\.futures|Executor\(|threading\.Thread\(|start_new_thread")
    root = Path(pipeline.__file__).parent
    paths = [path.relative_to(root) for path in sorted(root.rglob("*.py")) if starts.search(path.read_text("utf-8"))]
    assert [str(path) for path in paths] == [
        "engine/side_by_side.py",
        "serving/front/local.py",  # a worker's own thread; it ends with its process
        "serving/front/supervisor.py",  # threads that read what children say until they end
        "serving/lifecycle.py",
        "training/job.py",
    ]
