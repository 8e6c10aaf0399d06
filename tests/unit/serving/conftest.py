"""A server that is remembered."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
import pytest

from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.server import ServerState
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
