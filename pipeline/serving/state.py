"""Records which servers of ours run on this machine: one JSON file each, in a folder of the user's own."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shutil
import stat
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import psutil

from pipeline._handlers.description_checks import checked_name
from pipeline.engine.places import require_folder, user_folder
from pipeline.serving.ended import forget_ended, keep_ended
from pipeline.serving.front.plan import TOLD_FILE
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS

STATE_VARIABLE = "PIPELINE_STATE"
_SCHEMA = 2
# Schema of earlier releases, whose servers had management on a port.
_SCHEMA_WITH_PORT = 1
_PORTS, _PIDS = 1 << 16, 1 << 31
# Age in seconds after which a folder is forgotten. A server is recorded seconds after its folder was made.
_SETTLED_S = 600.0


def state_folder() -> Path:
    """Return `PIPELINE_STATE`, or else a folder in the user's cache; see `user_folder`."""
    return user_folder("servers", STATE_VARIABLE)


def require_state_folder() -> None:
    """Make sure that servers can be recorded, before anything depends on it.

    Raises:
        FileError: the folder cannot be written to.
    """
    require_folder(state_folder(), STATE_VARIABLE)


def write_state(state: ServerState) -> None:
    """Write a server's file, whole or not at all; what ended at its port before is forgotten."""
    folder = state_folder()
    folder.mkdir(parents=True, exist_ok=True)
    forget_ended(folder, state.port)
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8") as stream:
        json.dump({"schema": _SCHEMA, **asdict(state)}, stream)
    Path(stream.name).replace(_path(state.port))


def remove_state(state: ServerState) -> None:
    """Forget a server and remove its temporary folder; a second call does nothing."""
    if Path(state.folder).name.startswith(SERVERS[state.server].folder_prefix):
        shutil.rmtree(state.folder, ignore_errors=True)
    kept = read_state(state.port)
    if kept is not None and (kept.pid, kept.started) == (state.pid, state.started):
        _path(state.port).unlink(missing_ok=True)


def read_state(port: int) -> ServerState | None:
    """Return what is written of the server at a port, whether it still runs or not."""
    return _read(_path(port))


def read_states() -> list[ServerState]:
    """Return every server that runs, by port; of those that ended otherwise, why and their logs are kept."""
    states = []
    for path in sorted(state_folder().glob("*.json")):
        state = _read(path)
        if state is None:
            path.unlink(missing_ok=True)
        elif state.alive:
            states.append(state)
        elif not leftover_processes(state):
            told = state.stopping or Path(state.folder, TOLD_FILE).exists()
            if state.ready and not (state.private or told):
                keep_ended(state, SERVERS[state.server].failure(state, None), state_folder())
            remove_state(state)
        else:
            states.append(state)
    return sorted(states, key=lambda state: state.port)


def leftover_processes(state: ServerState) -> list[psutil.Process]:
    """Return every process that belongs to a server.

    Such a process runs one of the server's programs, is in its session, and has its folder on the command line.
    All three must hold: session ids are used again, and anyone may look into the folder (`tail -f .../server.log`).
    """
    programs = SERVERS[state.server].programs
    processes = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        command = process.info["cmdline"] or []
        if process.pid != os.getpid() and any(state.folder in part for part in command):
            with contextlib.suppress(psutil.Error, OSError):
                ours = os.getsid(process.pid) == state.pid
                if ours and Path(process.exe()).name.startswith(programs):
                    processes.append(process)
    return processes


def forgotten_folders() -> list[Path]:
    """Return private folders of servers that were killed before they could be recorded, or whose record is lost.

    A folder of the last few minutes is left out. It may be that of a server which is about to be recorded.
    """
    kept = {state.folder for state in read_states()}
    commands = [part for process in psutil.process_iter(["cmdline"]) for part in process.info["cmdline"] or []]
    folders = []
    temp = Path(tempfile.gettempdir())
    named = {folder for server in SERVERS.values() for folder in temp.glob(f"{server.folder_prefix}*")}
    for folder in sorted(named):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
            settled = time.time() - status.st_mtime > _SETTLED_S
            if ours and settled and str(folder) not in kept and not any(str(folder) in part for part in commands):
                folders.append(folder)
    return folders


def _path(port: int) -> Path:
    return state_folder() / f"{port}.json"


def _read(path: Path) -> ServerState | None:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        schema = document.pop("schema")
        if schema == _SCHEMA_WITH_PORT:
            del document["management_port"]  # such a server is still stopped
        elif schema != _SCHEMA:
            return None
        state = ServerState(**document)
        # Processes are looked up, and ended, by these numbers: -1 would be all of the user's.
        for name in (state.model, state.version):
            checked_name(name, "name")  # it becomes part of an address
        ipaddress.ip_address(state.contact.strip("[]"))  # so does this
        whole = (
            state.server in SERVERS
            and 0 < state.port < _PORTS
            and 1 < state.pid < _PIDS
            and Path(state.folder).is_absolute()
            and state.started > 0
        )
        return state if whole else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
