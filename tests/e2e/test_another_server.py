"""A second server behind the seam: started, proven, asked, recorded and ended by what knows no server by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from pipeline import cli
from pipeline.archive.mar import Archive
from pipeline.errors import ServerError
from pipeline.serving import lifecycle
from pipeline.serving.check import verify_served
from pipeline.serving.defaults import ServerName
from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states
from pipeline.serving.table import SERVERS
from tests.other_server import OtherServer
from tests.served_models import GREY, build_archive

OTHER = cast("ServerName", "other")


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SERVERS, OTHER, OtherServer())
        yield


@pytest.fixture(scope="module")
def server(archive: Archive) -> Iterator[ServerState]:
    with lifecycle.running_server(archive, server=OTHER) as state:
        yield state
    assert not state.alive
    assert not Path(state.folder).exists()
    assert read_states() == []


def test_the_check_through_http_asks_it_in_every_form(archive: Archive, server: ServerState) -> None:
    served = verify_served(archive, server.url)
    assert served.url == f"{server.url}/ask/tiny"
    assert (served.digest, served.workers, served.pictures) == (archive.digest, 1, 2)
    assert {form.form for form in served.forms} == {"image/png", "application/octet-stream", "application/json"}


def test_commands_know_it(archive: Archive, server: ServerState, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli._run(["verify", str(archive.path), "--url", f"{server.url}/ask/tiny"]) == 0
    assert f"served     {server.url}/ask/tiny: 54 golden requests (image/png, " in capsys.readouterr().out
    [status] = lifecycle.status()
    assert (status.ready, status.state.server, [worker.name for worker in status.workers]) == (True, OTHER, ["only"])


def test_one_that_never_answers_leaves_nothing(tmp_path: Path) -> None:
    before = read_states()
    wrong = build_archive(tmp_path, [GREY], name="wrong", golden_shift=0.01)
    with pytest.raises(ServerError, match="expected a server within 120 s, found none"):
        lifecycle.serve(wrong, server=OTHER, port=None)
    assert read_states() == before


def test_a_port_that_is_taken_is_named_for_every_server(archive: Archive, server: ServerState) -> None:
    with pytest.raises(ServerError, match=f"port {server.port}: expected a free port on 127.0.0.1, found: "):
        lifecycle.serve(archive, server=OTHER, port=server.port)
