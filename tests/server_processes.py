"""Processes of a server, and that none of them is left."""

from __future__ import annotations

from pathlib import Path

import psutil

from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states


def belonging(state: ServerState) -> list[psutil.Process]:
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
