"""The first process of a server, with small programs in place of workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pipeline.serving.front.board import Board
from pipeline.serving.front.log import Events
from pipeline.serving.front.plan import BOARD_FILE, REASON_FILE
from tests.supervised import child, supervised

# It is ready the first times, and ends at once; later it ends before that.
READY_AND_GONE = """
import sys, time
from pathlib import Path
from pipeline.serving.front.board import Board, WorkerState
runs = Path("runs")
number = int(runs.read_text()) + 1 if runs.exists() else 1
runs.write_text(str(number))
if number <= int(sys.argv[1]):
    Board(Path("board")).rows[0].state = WorkerState.READY
    time.sleep(0.2)
sys.exit("gone")
"""


def until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_worker_that_is_ready_and_ends_is_started_again_and_again(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("worker 1", READY_AND_GONE, 7, rows=(0,))]) as process:
        board = Board(tmp_path / BOARD_FILE)
        until(lambda: board.rows[0].restarts == 7)
        assert process.poll() is None


def test_one_that_does_not_become_ready_again_ends_the_server(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("worker 1", READY_AND_GONE, 2, rows=(0,))]) as process:
        assert process.wait(30) == 1
    assert (tmp_path / REASON_FILE).read_text() == "worker 1 ended with code 1: gone"
    assert (tmp_path / "runs").read_text() == "7"  # twice it was ready, and five times in a row it was not
    pauses = [event.rpartition(" in ")[2] for event in Events(tmp_path).new()[:-1]]
    assert pauses == ["0.1 s", "0.1 s", "0.1 s", "0.3 s", "0.5 s", "1.1 s"]


def test_one_that_cannot_be_started_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("TorchServe", "", console="nowhere/console")]) as process:
        assert process.wait(30) == 1
    reason = (tmp_path / REASON_FILE).read_text()
    assert reason.startswith("TorchServe cannot be started: [Errno 2] No such file or directory: ")
