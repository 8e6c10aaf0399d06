"""Processes of a server as they are recorded, and that none of them is left."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states


def state_of_this_process(folder: Path, *, port: int) -> ServerState:
    """What is recorded of a server whose first process is the test's own."""
    return ServerState(
        port=port,
        model="tiny",
        version="1.0",
        digest="d",
        archive="tiny.mar",
        workers=2,
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        folder=str(folder),
    )


def belonging(state: ServerState) -> list[psutil.Process]:
    """Its processes, with the command of each as `info["cmdline"]`: asked later, one may have ended."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(state.folder in part for part in process.info["cmdline"] or [])
    ]


def gone(state: ServerState) -> bool:
    """Whether all of it has ended; an ending process loses its command before it goes."""
    return not belonging(state) and not state.alive


def assert_nothing_left(state: ServerState) -> None:
    assert belonging(state) == []
    assert not Path(state.folder).exists()
    assert state not in read_states()
