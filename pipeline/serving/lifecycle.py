"""Start a server, know when it is ready, know it again later, stop all of it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from pipeline.archive.mar import Archive, read_archive
from pipeline.engine.process import Terminated, kill_session, start_child, terminated_as_interrupt
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import ServerError
from pipeline.model_code.require import require_safe_model
from pipeline.serving.address import endpoint_of
from pipeline.serving.defaults import DEFAULT_PORT, DEFAULT_SERVER, ServerName
from pipeline.serving.door import Door
from pipeline.serving.ended import EndedServer, ended_servers, forget_ended
from pipeline.serving.front.log import Events
from pipeline.serving.ports import choose_port
from pipeline.serving.server import CONSOLE_FILE, ServerState, ServeSettings, Worker
from pipeline.serving.server_status import ServerStatus
from pipeline.serving.state import (
    leftover_processes,
    read_state,
    read_states,
    remove_state,
    require_state_folder,
    state_folder,
    write_state,
)
from pipeline.serving.table import SERVERS
from pipeline.serving.workers import notes, prove_workers

DEFAULT_TIMEOUT_S = 120.0
# Time between two looks at what a server says, in seconds.
_TELL_S = 0.5
# Longest time until a process that was killed is gone, in seconds.
_KILLED_S = 5.0


def serve(
    archive: Archive,
    *,
    server: ServerName = DEFAULT_SERVER,
    port: int | None = DEFAULT_PORT,
    door: Door | None = None,
    no_auth: bool = False,
    workers: int = 1,
    detach: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_size: int | None = None,
    accept_host: bool = False,
    pass_env: Sequence[str] = (),
    trust: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ServerState:
    """Serve an archive; return when it has ended, or with `detach` as soon as it is ready.

    Args:
        archive: archive that was read and checked.
        server: name of the kind of server.
        port: port for predictions; None for a free one.
        door: where it listens, and what a client must bring; loopback and nothing by default.
        no_auth: whether another address than loopback may be open to everybody.
        workers: number of processes that answer.
        detach: whether the server is left running.
        timeout_s: longest wait for the server to be ready, in seconds.
        batch_size: most requests answered together, if that is fewer than the largest golden batch.
        accept_host: whether to serve although golden answers differ on this machine; `status` says by how much.
        pass_env: variables that workers get beyond those of `pipeline.engine.environment`.
        trust: whether to run the archive's own handler, and its model file unasked; by default this installation's
            handler answers, on the archive's data, with a model file that can do no more than compute.
        allowed_operators: operators that the model file may use beside the list; see `pipeline.model_code`.
        reporter: reporter that is told the address once every worker has given the golden answers.

    Returns:
        The record of the server that was started.

    Raises:
        FileError: its model file could do more than compute, or the door's certificate cannot be used.
        UsageError: it would be open to everybody in the network, and nobody said that it may.
        ServerError: a port is taken, or it did not become ready; nothing is left running.
        KeyboardInterrupt: it was interrupted in the foreground, or terminated before it was ready; nothing is left
            running.
    """
    tell = reporter or Silent()
    deadline = time.monotonic() + timeout_s
    door = door or Door()
    door.require_closed(no_auth=no_auth)
    door.tls()
    with terminated_as_interrupt():
        if not trust:
            _require_safe(archive, allowed_operators)
        require_state_folder()
        settings = ServeSettings(
            port=choose_port(port, door.host),
            door=door,
            workers=workers,
            batch_size=batch_size,
            accept_host=accept_host,
            pass_env=pass_env,
            trust=trust,
        )
        state, process = _start(archive, server, settings, deadline=deadline, timeout_s=timeout_s, tied=not detach)
        try:
            tell.log(f"{endpoint_of(state).url} is ready, {workers} worker(s)")
            for note in notes(archive, trust=trust):
                tell.log(note)
            if state.accepted is not None:
                tell.log(f"accepted host: {state.accepted}")
            if detach:
                # A program that goes on is still its parent: without a wait, a server that ended would stay a zombie.
                threading.Thread(target=process.wait, name=f"wait for {state.url}", daemon=True).start()
                return state
            _wait(state, process, tell)
            record = read_state(state.port)
            if record is not None and not record.stopping:
                reason = SERVERS[server].failure(state, process.returncode)
                raise ServerError(f"{state.url}: expected the server to run, found that it ended: {reason}")
        except Terminated:
            tell.log(f"{state.url} was told to end, and answers what it was asked before")
        finally:
            if not detach:
                _end(state, process)
    return state


@contextlib.contextmanager
def running_server(
    archive: Archive | Path,
    *,
    server: ServerName = DEFAULT_SERVER,
    workers: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_size: int | None = None,
    trust: bool = False,
    model_checked: bool = False,
) -> Iterator[ServerState]:
    """Run a private server on free ports for the length of a `with` block; arguments are as for `serve`.

    `model_checked` says that its model file was looked through before, or is that of the user's own build.

    Yields:
        The ready server.

    Raises:
        FileError: the archive is damaged, or its model file could do more than compute.
    """
    archive = archive if isinstance(archive, Archive) else read_archive(archive)
    deadline = time.monotonic() + timeout_s
    if not (trust or model_checked):
        _require_safe(archive, ())
    require_state_folder()
    settings = ServeSettings(port=choose_port(None), workers=workers, batch_size=batch_size, trust=trust)
    state, process = _start(archive, server, settings, deadline=deadline, timeout_s=timeout_s, private=True)
    try:
        yield state
    finally:
        _end(state, process)


def status(port: int | None = None) -> list[ServerStatus]:
    """Return the state of each server of ours on this machine, by port.

    Args:
        port: port of the server to look at; by default all servers are looked at, private ones included.

    Raises:
        ServerError: there is none at that port.
    """
    servers = []
    for state in _at(port):
        server = SERVERS[state.server]
        healthy = state.alive and server.is_healthy(state)
        workers: tuple[Worker, ...] = ()
        if healthy:
            with contextlib.suppress(ServerError):
                workers = server.workers(state)
        servers.append(ServerStatus(state=state, healthy=healthy, workers=workers))
    return servers


def ended(port: int | None = None) -> list[EndedServer]:
    """Return the servers that ended by themselves since one was started or stopped at their port.

    Args:
        port: the port to look at; by default all.
    """
    read_states()  # finds those that have ended meanwhile
    return [server for server in ended_servers(state_folder()) if port in (None, server.port)]


def stop(port: int | None = None) -> list[ServerState]:
    """Stop servers: all of their processes, and their temporary folders.

    Args:
        port: port of the server to stop; by default all are stopped but those that a running command has for itself.

    Returns:
        The records of the servers that were stopped.

    Raises:
        ServerError: there is none at that port, or a process could not be ended.
    """
    chosen = [state for state in _at(port) if port is not None or not (state.private and state.alive)]
    for state in chosen:
        write_state(replace(state, stopping=True))
        _end(state)
    for server in ended(port):
        forget_ended(state_folder(), server.port)
    return chosen


def _wait(state: ServerState, process: subprocess.Popen[str], tell: Reporter) -> None:
    """Wait until a server ends, and tell what befalls its workers meanwhile."""
    events = Events(Path(state.folder))
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TELL_S)
        for event in events.new():
            tell.log(event)
        if process.returncode is not None:
            return


def _at(port: int | None) -> list[ServerState]:
    """Return the record of the server at a port, or those of all servers.

    Raises:
        ServerError: there is none at that port.
    """
    states = read_states()
    chosen = [state for state in states if port in (None, state.port)]
    if port is not None and not chosen and not ended(port):
        ports = ", ".join(str(state.port) for state in states) or "none"
        raise ServerError(f"port {port}: expected a server started by `pipeline serve`, found {ports}")
    return chosen


def _require_safe(archive: Archive, allowed_operators: Sequence[str]) -> None:
    """Stop where the archive's model file could do more than compute."""
    require_safe_model(archive.path, archive.serving.runtime, archive.members, allowed_operators=allowed_operators)


def _start(
    archive: Archive,
    name: ServerName,
    settings: ServeSettings,
    *,
    deadline: float,
    timeout_s: float,
    private: bool = False,
    tied: bool = True,
) -> tuple[ServerState, subprocess.Popen[str]]:
    """Start a server and wait until every worker has given the golden answers; else nothing of it is left.

    Args:
        archive: archive that was read and checked, its model file as well.
        name: name of the kind of server.
        settings: how it serves.
        deadline: time by which it must be ready, on the monotonic clock, in seconds.
        timeout_s: length of that wait, in seconds, for the message.
        private: whether this command runs it for itself.
        tied: whether it ends with this process, however that ends.
    """
    server = SERVERS[name]
    folder = server.private_folder()
    state: ServerState | None = None
    process: subprocess.Popen[str] | None = None
    try:
        settings.door.write(folder)
        command = server.configure(folder, archive, settings)
        with (folder / CONSOLE_FILE).open("w", encoding="utf-8") as console:
            process = start_child(
                command.arguments,
                tied=tied,
                own_session=True,  # Ctrl-C reaches us alone; we end it in order
                cwd=folder,
                environment=command.environment,
                stdout=console,
                stderr=console,
            )
        started = _state(archive, name, settings, folder, process.pid, private=private)
        state = started
        write_state(state)
        server.wait_until_loaded(state, process, deadline=deadline, timeout_s=timeout_s)
        prove_workers(
            endpoint_of(state),
            archive,
            lambda: server.workers(started),
            deadline=deadline,
            accept_host=settings.accept_host,
        )
        state = replace(state, ready=True, accepted=server.accepted_difference(state))
        write_state(state)
    except BaseException:
        if state is None:
            if process is not None:
                kill_session(process)
                process.wait()
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _end(state, process)
        raise
    return state, process


def _state(
    archive: Archive, server: ServerName, settings: ServeSettings, folder: Path, pid: int, *, private: bool
) -> ServerState:
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error as error:
        raise ServerError(f"{SERVERS[server].title}: expected a running process, found: {error}") from error
    return ServerState(
        port=settings.port,
        model=archive.serving.name,
        version=archive.serving.version,
        digest=archive.digest,
        archive=str(archive.path.resolve()),
        workers=settings.workers,
        pid=pid,
        started=started,
        folder=str(folder),
        private=private,
        server=server,
        contact=settings.door.contact,
        encrypted=settings.door.certificate is not None,
    )


def _end(state: ServerState, started: subprocess.Popen[str] | None = None) -> None:
    """End every process of a server and remove what it left; `started` is its first one if this process started it."""
    processes = {process.pid: process for process in leftover_processes(state)}
    first: psutil.Process | None = None
    if state.alive:
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(state.pid)
            processes |= {process.pid: process for process in (first, *first.children(recursive=True))}
    for process in processes.values():
        with contextlib.suppress(psutil.Error):
            # Nobody else asks a private server, and all that it writes lies in its folder: a server's own way to end
            # may take seconds, and Ctrl-C would wait for them.
            if state.private:
                process.kill()
            elif first is None or process == first:  # the first process ends the others in order
                process.terminate()
    awaited = [*processes.values()] if first is None or state.private else [first]
    psutil.wait_procs(awaited, timeout=SERVERS[state.server].drain_s)
    # What ties a server to this process outlives it. A worker that the server started while it was being ended is on
    # nobody's list yet.
    rest = {*processes.values(), *leftover_processes(state)}
    for process in rest:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs(list(rest), timeout=_KILLED_S)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise ServerError(f"{state.url}: expected all processes to end, found {pids} still running")
    if started is not None:
        started.kill()  # it has ended, unless the clock was set meanwhile and it was not known again
        started.wait()
    remove_state(state)
