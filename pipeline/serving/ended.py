"""Servers that ended by themselves: why, and where their logs are kept. Starting or stopping one there forgets it."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.serving.front.plan import EVENTS_FILE
from pipeline.serving.server import CONSOLE_FILE, ServerState

_KEPT = (EVENTS_FILE, CONSOLE_FILE, "server.log")
_RECORD_FILE = "ended.json"


@dataclass(frozen=True, kw_only=True)
class EndedServer:
    """A server that ended although nobody ended it.

    Args:
        url: its address.
        port: its port.
        model: the model's name.
        reason: why it ended, in one clause.
        logs: folder of what it said.
    """

    url: str
    port: int
    model: str
    reason: str
    logs: str

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {**asdict(self), "ready": False}


def keep_ended(state: ServerState, reason: str, folder: Path) -> None:
    """Keep why a server ended, and its logs, before its own folder is removed.

    Args:
        state: record of the server.
        reason: why it ended, in one clause.
        folder: folder of records.
    """
    logs = _logs(folder, state.port)
    shutil.rmtree(logs, ignore_errors=True)
    logs.mkdir(parents=True)
    for name in _KEPT:
        source = Path(state.folder, name)
        if source.is_file():
            shutil.copyfile(source, logs / name)
    ended = EndedServer(url=state.url, port=state.port, model=state.model, reason=reason, logs=str(logs))
    (logs / _RECORD_FILE).write_text(json.dumps(asdict(ended)), encoding="utf-8")


def ended_servers(folder: Path) -> list[EndedServer]:
    """Return the servers that ended by themselves, by port."""
    servers = []
    for record in folder.glob(f"*.ended/{_RECORD_FILE}"):
        try:
            servers.append(EndedServer(**json.loads(record.read_text(encoding="utf-8"))))
        except (OSError, ValueError, TypeError):
            shutil.rmtree(record.parent, ignore_errors=True)
    return sorted(servers, key=lambda server: server.port)


def forget_ended(folder: Path, port: int) -> None:
    """Forget that a server at this port ended."""
    shutil.rmtree(_logs(folder, port), ignore_errors=True)


def _logs(folder: Path, port: int) -> Path:
    return folder / f"{port}.ended"
