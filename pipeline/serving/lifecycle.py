"""Run TorchServe: start it, know when it is ready, know it again later, stop all of it."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from pipeline.archive.mar import Archive, read_archive
from pipeline.errors import ServerError
from pipeline.model_code.require import require_safe_model
from pipeline.process import start_child, terminated_as_interrupt
from pipeline.serving.client import Worker, describe_workers, is_healthy
from pipeline.serving.server_status import ServerStatus
from pipeline.serving.state import (
    ServerState,
    leftover_processes,
    read_state,
    read_states,
    remove_state,
    require_state_folder,
    write_state,
)
from pipeline.serving.torchserve import readiness
from pipeline.serving.torchserve.configuration import (
    CONSOLE_FILE,
    LOG_FILE,
    Ports,
    choose_ports,
    command,
    environment,
    private_folder,
    write_configuration,
)
from pipeline.serving.torchserve.java import find_java
from pipeline.serving.torchserve.listening import require_no_other_port
from pipeline.stage import Reporter, Silent

DEFAULT_PORT = 8080
DEFAULT_TIMEOUT_S = 120.0
_POLL_S = 0.1
# A worker's last words pass through a pipe and the server's log: this long after the server noticed its end.
_LAST_WORDS_S = 1.5
# TorchServe does not finish open requests on SIGTERM; what is still there after this is killed.
_TERMINATE_S = 5.0


def serve(
    archive: Archive,
    *,
    port: int | None = DEFAULT_PORT,
    workers: int = 1,
    detach: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_size: int = 1,
    batch_delay_ms: int = 1,
    accept_host: bool = False,
    pass_env: Sequence[str] = (),
    trust: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ServerState:
    """Serve an archive; return when it has ended, or with `detach` as soon as it is ready.

    Args:
        archive: that was read and checked.
        port: for predictions, on loopback; None for a free one.
        workers: processes that answer.
        detach: leave it running.
        timeout_s: longest wait for it to be ready, in seconds.
        batch_size: most requests handed to a worker at once.
        batch_delay_ms: longest wait for a batch to fill, in milliseconds.
        accept_host: serve although golden answers differ on this machine; `status` says by how much.
        pass_env: variables that workers get beyond those of `pipeline.environment`.
        trust: run the archive's own handler, and its model file unasked; by default this installation's handler
            answers, on the archive's data, with a model file that can do no more than compute.
        allowed_operators: that the model file may use beside the list; see `pipeline.model_code`.
        reporter: told the address once every worker has given the golden answers.

    Returns:
        What was started.

    Raises:
        FileError: its model file could do more than compute.
        ServerError: a port is taken, or it did not become ready; nothing is left running.
        KeyboardInterrupt: it was interrupted or terminated in the foreground; nothing is left running.
    """
    tell = reporter or Silent()
    with terminated_as_interrupt():
        state, process = _start(
            archive,
            port=port,
            workers=workers,
            timeout_s=timeout_s,
            batch_size=batch_size,
            batch_delay_ms=batch_delay_ms,
            accept_host=accept_host,
            pass_env=pass_env,
            trust=trust,
            allowed_operators=allowed_operators,
            dies_with_us=not detach,
        )
        try:
            tell.log(f"{state.url}/predictions/{state.model} is ready, {workers} worker(s)")
            for note in readiness.notes(archive, trust=trust):
                tell.log(note)
            if state.accepted is not None:
                tell.log(f"accepted host: {state.accepted}")
            if detach:
                return state
            process.wait()
            asked = read_state(state.port)
            if asked is not None and not asked.stopping:
                reason = readiness.server_failure(Path(state.folder) / LOG_FILE, process.returncode)
                raise ServerError(f"{state.url}: expected the server to run, found that it ended: {reason}")
        finally:
            if not detach:
                _end(state, process)
    return state


@contextlib.contextmanager
def running_server(
    archive: Archive | Path,
    *,
    workers: int = 1,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    batch_size: int = 1,
    batch_delay_ms: int = 1,
    trust: bool = False,
    model_checked: bool = False,
) -> Iterator[ServerState]:
    """A private server on free ports for the length of a `with` block; arguments as for `serve`.

    With `model_checked` its model file was looked through before, or is that of the user's own build.

    Yields:
        The ready server.

    Raises:
        FileError: the archive is damaged, or its model file could do more than compute.
    """
    state, process = _start(
        archive if isinstance(archive, Archive) else read_archive(archive),
        port=None,
        workers=workers,
        timeout_s=timeout_s,
        batch_size=batch_size,
        batch_delay_ms=batch_delay_ms,
        accept_host=False,
        trust=trust,
        model_checked=model_checked,
        dies_with_us=True,
        private=True,
    )
    try:
        yield state
    finally:
        _end(state, process)


def status(port: int | None = None) -> list[ServerStatus]:
    """Servers of ours on this machine, by port.

    Args:
        port: of the one to look at; all of them by default, private ones included.

    Raises:
        ServerError: there is none at that port.
    """
    found = []
    for state in _at(port):
        healthy = state.alive and is_healthy(state.url)
        workers: tuple[Worker, ...] = ()
        if healthy:
            with contextlib.suppress(ServerError):
                workers = describe_workers(state.management, state.model)
        found.append(ServerStatus(state=state, healthy=healthy, workers=workers))
    return found


def stop(port: int | None = None) -> list[ServerState]:
    """Stop servers: Java, workers, temporary folders.

    Args:
        port: of the one to stop; by default all but those that a running command has for itself.

    Returns:
        Those that were stopped.

    Raises:
        ServerError: there is none at that port, or a process could not be ended.
    """
    chosen = [state for state in _at(port) if port is not None or not (state.private and state.alive)]
    for state in chosen:
        write_state(replace(state, stopping=True))
        _end(state)
    return chosen


def _at(port: int | None) -> list[ServerState]:
    """What is known of the server at a port, or of all.

    Raises:
        ServerError: there is none at that port.
    """
    states = read_states()
    chosen = [state for state in states if port in (None, state.port)]
    if port is not None and not chosen:
        found = ", ".join(str(state.port) for state in states) or "none"
        raise ServerError(f"port {port}: expected a server started by `pipeline serve`, found {found}")
    return chosen


def _start(
    archive: Archive,
    *,
    port: int | None,
    workers: int,
    timeout_s: float,
    batch_size: int,
    batch_delay_ms: int,
    accept_host: bool,
    trust: bool,
    dies_with_us: bool,
    allowed_operators: Sequence[str] = (),
    model_checked: bool = False,
    pass_env: Sequence[str] = (),
    private: bool = False,
) -> tuple[ServerState, subprocess.Popen[str]]:
    deadline = time.monotonic() + timeout_s
    if not (trust or model_checked):
        require_safe_model(archive.path, archive.serving.runtime, archive.members, allowed_operators=allowed_operators)
    require_state_folder()
    ports = choose_ports(port)
    java = find_java()
    folder = private_folder()
    state: ServerState | None = None
    process: subprocess.Popen[str] | None = None
    try:
        write_configuration(
            folder, archive, ports, workers=workers, batch_size=batch_size, batch_delay_ms=batch_delay_ms, trust=trust
        )
        with (folder / CONSOLE_FILE).open("w", encoding="utf-8") as console:
            process = start_child(
                command(folder, java),
                tied=dies_with_us,
                own_session=True,  # Ctrl-C reaches us alone; we end it in order
                cwd=folder,
                environment=environment(
                    folder,
                    java,
                    threads=archive.serving.runtime.threads,
                    accept_host=accept_host,
                    passed=pass_env,
                ),
                stdout=console,
                stderr=console,
            )
        state = replace(_state(archive, ports, workers, folder, process.pid), private=private)
        write_state(state)
        _wait_until_ready(state, process, archive, deadline=deadline, timeout_s=timeout_s, accept_host=accept_host)
        state = replace(state, ready=True, accepted=readiness.accepted_difference(folder / LOG_FILE))
        write_state(state)
    except BaseException:
        if state is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            _end(state, process)
        raise
    return state, process


def _state(archive: Archive, ports: Ports, workers: int, folder: Path, pid: int) -> ServerState:
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error as error:
        raise ServerError(f"TorchServe: expected a running process, found: {error}") from error
    return ServerState(
        port=ports.inference,
        model=archive.serving.name,
        version=archive.serving.version,
        digest=archive.digest,
        archive=str(archive.path.resolve()),
        workers=workers,
        pid=pid,
        started=started,
        folder=str(folder),
    )


def _wait_until_ready(
    state: ServerState,
    process: subprocess.Popen[str],
    archive: Archive,
    *,
    deadline: float,
    timeout_s: float,
    accept_host: bool,
) -> None:
    log = Path(state.folder) / LOG_FILE
    noticed: float | None = None
    found: tuple[Worker, ...] = ()
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = readiness.server_failure(log, process.returncode)
            raise ServerError(f"{state.url}: expected a running server, found: {reason}")
        if failure := readiness.startup_failure(log):
            raise ServerError(f"{state.url}: expected a running server, found: {failure}")
        if noticed is None and readiness.gave_up(log):
            noticed = time.monotonic()
        settled = noticed is not None and time.monotonic() - noticed > _LAST_WORDS_S
        if failure := readiness.worker_failure(log, settled=settled):
            raise ServerError(failure)
        # Until then nothing listens, and asking would only wait.
        if noticed is None and is_healthy(state.url):
            with contextlib.suppress(ServerError):
                found = describe_workers(state.management, state.model)
            if len(found) == state.workers and all(worker.status == "READY" for worker in found):
                require_no_other_port(state)
                readiness.prove_workers(
                    f"{state.url}/predictions/{state.model}",
                    archive,
                    lambda: describe_workers(state.management, state.model),
                    deadline=deadline,
                    accept_host=accept_host,
                )
                return
        time.sleep(_POLL_S)
    failure = readiness.worker_failure(log, settled=True)
    ready = sum(worker.status == "READY" for worker in found)
    raise ServerError(
        failure
        or f"{state.url}: expected {state.workers} ready worker(s) within {timeout_s:g} s, found {ready}; "
        "give it more time or look for what else keeps this machine busy"
    )


def _end(state: ServerState, started: subprocess.Popen[str] | None = None) -> None:
    """End every process of a server and remove what it left; `started` is its Java if this process started it."""
    processes = {process.pid: process for process in leftover_processes(state)}
    if state.alive:
        with contextlib.suppress(psutil.Error):
            java = psutil.Process(state.pid)
            processes |= {process.pid: process for process in (java, *java.children(recursive=True))}
    for process in processes.values():
        with contextlib.suppress(psutil.Error):
            # Nobody else asks a private server, and all that it writes lies in its folder: Java's own way to end takes
            # seconds, and Ctrl-C would wait for them.
            process.kill() if state.private else process.terminate()
    _, alive = psutil.wait_procs(list(processes.values()), timeout=_TERMINATE_S)
    # A worker that the server started while it was being ended is on nobody's list yet.
    for process in {*alive, *leftover_processes(state)}:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=_TERMINATE_S)
    if alive:
        pids = ", ".join(str(process.pid) for process in alive)
        raise ServerError(f"{state.url}: expected all processes to end, found {pids} still running")
    if started is not None:
        started.wait()
    remove_state(state)
