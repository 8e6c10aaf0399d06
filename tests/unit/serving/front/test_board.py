"""Counts of several processes on one board, and how Prometheus reads them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pipeline.engine.process import module_environment
from pipeline.serving.front.board import BUCKETS, STEPS, Board, WorkerState
from pipeline.serving.front.exposition import exposition

PROGRAM = """
import sys
from pathlib import Path
from pipeline.serving.front.board import Board, WorkerState
row = Board(Path(sys.argv[1])).rows[1]
row.state, row.pid = WorkerState.READY, 1234
row.count_connections(7)
row.count_restart(); row.count_batch(3, 5); row.count_status(200); row.count_status(418); row.count_time(0, 0.0003)
"""


def test_what_another_process_counts_is_seen_here_and_outlives_it(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", 2)
    assert board.ready == 0
    board.rows[0].count_batch(1, 1)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "board")]
    subprocess.run(command, check=True, env=module_environment())
    own, other = board.rows
    assert (board.ready, other.state, other.pid, other.connections, other.restarts) == (
        1,
        WorkerState.READY,
        1234,
        7,
        1,
    )
    assert (own.batches, other.batches) == ((1, 1, 1), (3, 1, 5))
    assert {status: number for status, number in other.statuses.items() if number} == {200: 1, 0: 1}
    assert other.times(0).counts[BUCKETS.index(0.0005)] == 1


def test_a_process_that_is_started_begins_anew_but_for_its_counts(tmp_path: Path) -> None:
    [row] = Board.create(tmp_path / "board", 1).rows
    row.state = WorkerState.READY
    row.count_connections(7)
    row.count_restart()
    row.count_status(200)
    row.beat()
    row.beat()
    assert row.beats == 2
    row.begin()
    assert (row.state, row.connections, row.beats) == (WorkerState.LOADING, 0, 0)
    assert (row.restarts, row.statuses[200]) == (1, 1)


def test_the_text_for_prometheus_is_cumulated_and_whole(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", 2)
    for row, seconds in zip(board.rows, (0.0001, 20.0), strict=True):
        row.count_time(STEPS.index("whole"), seconds)
        row.count_status(200)
    text = exposition(board, name='a"b', version="1", digest="d")
    assert text.endswith("\n")
    for line in text.splitlines():
        assert re.fullmatch(
            r'# (HELP|TYPE) \w+ .+|\w+(\{\w+="(\\.|[^"\\])*"(,\w+="(\\.|[^"\\])*")*\})? [\d.e+-]+', line
        ), line
    assert 'pipeline_model_info{name="a\\"b",version="1",digest="d"} 1' in text
    assert 'pipeline_responses_total{status="200"} 2' in text
    whole = dict(re.findall(r'pipeline_step_seconds_bucket\{step="whole",le="([^"]+)"\} (\d+)', text))
    assert (whole["0.0001"], whole["10.0"], whole["+Inf"]) == ("1", "1", "2")
    assert 'pipeline_step_seconds_sum{step="whole"} 20.0001' in text
    assert 'pipeline_step_seconds_count{step="whole"} 2' in text


def test_a_worker_is_ahead_of_one_that_is_ready_and_has_fewer_connections(tmp_path: Path) -> None:
    board = Board.create(tmp_path / "board", 2)
    own, other = board.rows
    own.count_connections(3)
    other.count_connections(2)
    assert not board.is_ahead(own)  # the other one takes no connections yet
    other.state = WorkerState.READY
    assert board.is_ahead(own)
    other.count_connections(3)
    assert not board.is_ahead(own)
