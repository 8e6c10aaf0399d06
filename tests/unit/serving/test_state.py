"""What is remembered of servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.serving.server import ServerState
from pipeline.serving.state import (
    leftover_processes,
    read_state,
    read_states,
    remove_state,
    write_state,
)


def test_written_and_read(state: ServerState) -> None:
    write_state(state)
    assert read_states() == [state]
    write_state(replace(state, ready=True))
    assert read_state(9999) == replace(state, ready=True)
    remove_state(state)
    assert read_states() == []
    assert not Path(state.folder).exists()


def test_a_server_of_an_earlier_release_is_known_and_can_be_stopped(state: ServerState) -> None:
    write_state(state)
    path = next(Path(os.environ["PIPELINE_STATE"]).glob("*.json"))
    document = json.loads(path.read_text()) | {"schema": 1, "management_port": 9998}
    del document["server"]
    path.write_text(json.dumps(document))
    assert read_states() == [state]


def test_a_server_that_this_release_does_not_know_is_not_read(state: ServerState) -> None:
    write_state(state)
    path = next(Path(os.environ["PIPELINE_STATE"]).glob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {"server": "another"}))
    assert read_state(9999) is None


@pytest.mark.parametrize("field", ["model", "version"])
def test_a_name_that_would_lead_to_another_address_is_not_read(state: ServerState, field: str) -> None:
    document: dict[str, str] = {field: "../../models"}
    write_state(replace(state, **document))  # type: ignore[arg-type]
    assert read_state(9999) is None


@pytest.mark.parametrize("changes", [{"started": 1.0}, {"pid": 2**22 + 1}])
def test_stale_ones_are_removed(state: ServerState, changes: dict[str, float]) -> None:
    write_state(replace(state, **changes))  # type: ignore[arg-type]
    assert read_states() == []
    assert read_state(9999) is None
    assert not Path(state.folder).exists()


def test_only_folders_of_ours_are_removed(state: ServerState, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    write_state(replace(state, started=1.0, folder=str(precious)))
    assert read_states() == []
    assert precious.is_dir()


@pytest.mark.parametrize("content", ["", "[]", '{"schema": 1}', '{"schema": 2, "port": 1}'])
def test_files_that_are_none_are_removed(state: ServerState, content: str) -> None:
    write_state(state)
    path = Path(os.environ["PIPELINE_STATE"], "1234.json")
    path.write_text(content)
    assert read_states() == [state]
    assert not path.exists()


@pytest.mark.parametrize("change", [{"pid": -1}, {"pid": 0}, {"pid": "9"}, {"pid": 1 << 40}, {"port": -1}])
def test_numbers_that_are_no_process_are_never_looked_up(state: ServerState, change: dict[str, object]) -> None:
    write_state(state)
    path = Path(os.environ["PIPELINE_STATE"], "1234.json")
    document = json.loads(Path(os.environ["PIPELINE_STATE"], "9999.json").read_text())
    path.write_text(json.dumps({**document, **change}))
    assert read_states() == [state]
    assert not path.exists()


def test_another_server_at_the_port_is_not_forgotten(state: ServerState) -> None:
    write_state(state)
    remove_state(replace(state, pid=1))
    assert read_state(9999) == state


def test_who_looks_into_a_servers_folder_does_not_belong_to_it(state: ServerState) -> None:
    log = Path(state.folder, "server.log")
    log.touch()
    watching = ["tail", "-f", str(log)]
    working = [sys.executable, "-c", "input()", str(log)]
    processes = []
    try:
        for command, own_session in ((watching, False), (watching, True), (working, False), (working, True)):
            processes.append(
                subprocess.Popen(
                    command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=own_session
                )
            )
        pids = [
            [leftover.pid for leftover in leftover_processes(replace(state, pid=process.pid))] for process in processes
        ]
        assert pids == [[], [], [], [processes[3].pid]]
        assert leftover_processes(state) == []
    finally:
        for process in processes:
            process.kill()
            process.communicate()
