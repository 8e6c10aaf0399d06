"""A server that is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS
from tests.server_processes import state_of_this_process


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ServerState:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    folder = tmp_path / f"{SERVERS[DEFAULT_SERVER].folder_prefix}1"
    folder.mkdir()
    return state_of_this_process(folder, port=9999)
