"""Servers that are running: how they are shown, and which are stopped."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline import cli
from pipeline.errors import ServerError
from pipeline.serving import lifecycle
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states, write_state
from pipeline.serving.table import SERVERS


def test_a_server_that_a_build_runs_for_itself_is_marked_and_left_alone(
    state: ServerState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(lifecycle, "_end", lambda ended_state: ended.append(ended_state.port))
    monkeypatch.setattr(SERVERS[DEFAULT_SERVER], "is_healthy", lambda _state: False)
    write_state(replace(state, private=True))
    write_state(replace(state, port=8081))
    assert prediction_endpoint(None).url == "http://127.0.0.1:8081/predictions/tiny"

    with pytest.raises(ServerError, match=r":8081/predictions/tiny: expected a server that is ready, found"):
        cli.serving.status()
    shown = capsys.readouterr().out.splitlines()
    marked = [line.endswith("; of a build or bench that runs now and will end it") for line in shown]
    assert (len(shown), marked) == (2, [False, True])
    cli.serving.status(port=9999)
    assert len(capsys.readouterr().out.splitlines()) == 1
    with pytest.raises(ServerError, match="port 1: expected a server started by `pipeline serve`, found 8081, 9999"):
        cli.serving.status(port=1)

    assert [stopped.port for stopped in lifecycle.stop()] == ended == [8081]
    lifecycle.stop(9999)
    assert ended == [8081, 9999]


def test_what_is_stopped_leaves_no_process_no_folder_and_no_record(state: ServerState) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", "input()", state.folder], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        running = replace(state, pid=first.pid, started=psutil.Process(first.pid).create_time())
        write_state(running)
        assert lifecycle.stop() == [running]
        assert not running.alive
    finally:
        first.kill()
        first.communicate()
    assert not Path(state.folder).exists()
    assert read_states() == []
    assert lifecycle.stop() == []
