"""What is remembered of servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from pipeline import cli
from pipeline.errors import ServerError, UsageError
from pipeline.serving import lifecycle
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.server import ServerState
from pipeline.serving.state import (
    leftover_processes,
    read_state,
    read_states,
    remove_state,
    write_state,
)
from pipeline.serving.table import SERVERS


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerState:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    folder = tmp_path / f"{SERVERS[DEFAULT_SERVER].folder_prefix}1"
    folder.mkdir()
    return ServerState(
        port=9999,
        model="tiny",
        version="1.0",
        digest="d",
        archive="tiny.mar",
        workers=2,
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        folder=str(folder),
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
        found = [[one.pid for one in leftover_processes(replace(state, pid=each.pid))] for each in processes]
        assert found == [[], [], [], [processes[3].pid]]
        assert leftover_processes(state) == []
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_server_that_a_build_runs_for_itself_is_marked_and_left_alone(
    state: ServerState, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(lifecycle, "_end", lambda one: ended.append(one.port))
    monkeypatch.setattr(SERVERS[DEFAULT_SERVER], "is_healthy", lambda _state: False)
    write_state(replace(state, private=True))
    write_state(replace(state, port=8081))
    assert prediction_endpoint(None).url == "http://127.0.0.1:8081/predictions/tiny"

    cli.serving.status()
    shown = capsys.readouterr().out.splitlines()
    marked = [line.endswith("; of a build or bench that runs now and will end it") for line in shown]
    assert (len(shown), marked) == (2, [False, True])
    cli.serving.status(port=8081)
    assert len(capsys.readouterr().out.splitlines()) == 1
    with pytest.raises(ServerError, match="port 1: expected a server started by `pipeline serve`, found 8081, 9999"):
        cli.serving.status(port=1)

    assert [one.port for one in lifecycle.stop()] == ended == [8081]
    lifecycle.stop(9999)
    assert ended == [8081, 9999]


def test_address(state: ServerState) -> None:
    with pytest.raises(UsageError, match="expected one running server, found none; start one with `pipeline serve`"):
        prediction_endpoint(None)
    write_state(state)
    full = "http://127.0.0.1:9999/predictions/tiny"
    for given in (None, "http://127.0.0.1:9999", "127.0.0.1:9999/", "http://localhost:9999", full):
        assert prediction_endpoint(given).url == full
    assert prediction_endpoint("https://host/predictions/other").url == "https://host/predictions/other"
    with pytest.raises(UsageError, match=r"--url http://host:80: expected /predictions/<name> at its end"):
        prediction_endpoint("http://host:80")
    with pytest.raises(UsageError, match=r"expected the path /predictions/<name>, found /models/x"):
        prediction_endpoint("http://host:80/models/x")
    with pytest.raises(UsageError, match=r"--url ftp://host: expected http://host:port"):
        prediction_endpoint("ftp://host")
