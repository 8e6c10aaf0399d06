"""The first process of a server, with small programs in place of workers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from pipeline.serving.front.board import Board
from pipeline.serving.front.log import Events
from pipeline.serving.front.plan import BOARD_FILE, REASON_FILE, Plan
from tests.supervised import child, supervised

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
# At each start it takes the next letter: at an R it is ready, and ends at once; at an N it ends before.
READY_OR_NOT = """
import sys, time
from pathlib import Path
from pipeline.serving.front.board import Board, WorkerState
runs = Path("runs")
number = len(runs.read_text()) if runs.exists() else 0
letter = sys.argv[1][number]
with runs.open("a") as stream:
    stream.write(letter)
if letter == "R":
    Board(Path("board")).rows[0].state = WorkerState.READY
    time.sleep(0.2)
sys.exit("gone")
"""
# It is ready for a moment; the next one is ready after a second, and takes no connection.
LATE = """
import time
from pathlib import Path
from pipeline.serving.front.board import Board, WorkerState
row = Board(Path("board")).rows[0]
time.sleep(1 if row.restarts else 0)
row.state = WorkerState.READY
time.sleep(600 if row.restarts else 0.3)
"""
# It is ready and shows that it lives, for a second; then it does nothing more. The next one lives on.
SILENT = """
import time
from pathlib import Path
from pipeline.serving.front.board import Board, WorkerState
row = Board(Path("board")).rows[0]
row.state = WorkerState.READY
began = time.monotonic()
while row.restarts or time.monotonic() < began + 1:
    row.beat()
    time.sleep(0.1)
time.sleep(600)
"""


def until(condition: Callable[[], object], timeout_s: float = 30.0, *, pause_s: float = 0.02) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(pause_s)


def test_a_worker_that_is_ready_now_and_then_is_started_again_and_again(tmp_path: Path) -> None:
    letters = "RNNNRNNR"  # more than five times in all it was not ready
    with supervised(tmp_path, [child("worker 1", READY_OR_NOT, letters + "R" * 50, rows=(0,))]) as process:
        board = Board(tmp_path / BOARD_FILE)
        until(lambda: board.rows[0].restarts >= len(letters))
        assert process.poll() is None


def test_one_that_does_not_become_ready_again_ends_the_server(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("worker 1", READY_OR_NOT, "RR" + "N" * 50, rows=(0,))]) as process:
        assert process.wait(30) == 1
    assert (tmp_path / REASON_FILE).read_text() == "worker 1 ended with code 1: gone"
    assert (tmp_path / "runs").read_text() == "RRNNNNN"
    pauses = [event.rpartition(" in ")[2] for event in Events(tmp_path).new()[:-1]]
    assert pauses == ["0.1 s", "0.1 s", "0.1 s", "0.3 s", "0.5 s", "1.1 s"]


def test_one_that_hangs_is_killed_and_started_again_with_one_line(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("worker 1", SILENT, rows=(0,), silent_s=1.0)]) as process:
        board = Board(tmp_path / BOARD_FILE)
        until(lambda: board.rows[0].restarts == 1 and board.rows[0].beats > 20)
        assert process.poll() is None
        assert Events(tmp_path).new() == [
            "worker 1 gave no sign of life for 1 s, and was killed; it is started again in 0.1 s"
        ]


def test_who_is_told_that_a_worker_is_ready_is_not_answered_by_the_first_process(tmp_path: Path) -> None:
    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", plan.port), timeout=0.5) as connection:
            connection.sendall(REQUEST)
            return connection.recv(100)

    with supervised(tmp_path, [child("worker 1", LATE, rows=(0,))]):
        plan = Plan.read(tmp_path)
        board = Board(tmp_path / BOARD_FILE)
        until(lambda: board.first_process_answers)
        assert board.reached == 0
        assert ask().startswith(b"HTTP/1.1 503 ")
        with socket.create_connection(("127.0.0.1", plan.port), timeout=5) as idle:
            until(lambda: board.reached, pause_s=0)
            with pytest.raises(TimeoutError):
                ask()
            # One that was opened before is told to come again: what it sends is not torn off.
            idle.sendall(REQUEST)
            assert idle.recv(100).startswith(b"HTTP/1.1 503 ")


def test_what_stood_still_together_with_its_server_does_not_hang(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("worker 1", SILENT.replace("+ 1", "+ 600"), rows=(0,), silent_s=3.0)]) as process:
        board = Board(tmp_path / BOARD_FILE)
        until(lambda: board.rows[0].beats > 5)
        worker, server = psutil.Process(board.rows[0].pid), psutil.Process(process.pid)
        worker.suspend()
        time.sleep(0.2)  # the server sees no beat
        server.suspend()
        time.sleep(5)
        server.resume()
        time.sleep(0.2)
        worker.resume()
        before = board.rows[0].beats
        until(lambda: board.rows[0].beats > before + 10)
        assert board.rows[0].restarts == 0


def test_one_that_cannot_be_started_ends_the_server_with_the_reason(tmp_path: Path) -> None:
    with supervised(tmp_path, [child("TorchServe", "", console="nowhere/console")]) as process:
        assert process.wait(30) == 1
    reason = (tmp_path / REASON_FILE).read_text()
    assert reason.startswith("TorchServe cannot be started: [Errno 2] No such file or directory: ")
