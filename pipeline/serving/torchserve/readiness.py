"""Watches TorchServe until its workers are loaded, or says why they are not, in its own words and theirs."""

from __future__ import annotations

import contextlib
import itertools
import re
import subprocess
import time
from pathlib import Path

from pipeline._handlers.torchserve_handler import ACCEPTED_MARK, REFUSAL_MARK
from pipeline.engine.places import free_room
from pipeline.errors import ServerError
from pipeline.serving.front.outside import board_of, described_end, reason_of_end
from pipeline.serving.server import CONSOLE_FILE, ServerState
from pipeline.serving.torchserve.configuration import LOG_FILE

_WORKER = re.compile(r"W-(\d+)-")
_GAVE_UP = re.compile(
    r"Worker died|Worker disconnected|Load model failed|Failed start worker process|Backend stream closed|"
    r"Backend worker (?:startup time out|monitoring thread interrupted|did not respond)"
)
_PORT_TAKEN = re.compile(r"Address already in use|BindException")
_PORT_LOST = re.compile(r"Failed to bind to address\S* \S*:(\d+)$")
# Netty knows no Unix sockets where it cannot load its native library, and its exception says nothing.
_NO_UNIX_SOCKETS = re.compile(r"^Invalid configuration: null$")
# These stand among what Java says, because Log4j cannot write its own log when the disk is full.
_FULL = re.compile(r"No space left on device|Disk quota exceeded|Unable to write to stream")
_HOPELESS = re.compile(r"Failed to load (?:initial )?model(?:s)?:|OutOfMemoryError|insufficient memory for the Java")
_EXCEPTION = re.compile(r"^[\w.$]+(?:Exception|Error): (.+)")
_ERROR = re.compile(r"^(?:ERROR|FATAL)\||^(?:Error|Exception|Unrecognized|Invalid)\b")
# What Java and the server say at every start, and the frames of a trace.
_NOISE = re.compile(r"^WARNING: |^nvidia-smi |^Model server started|^\s")
_POLL_S = 0.1
# A worker's last words pass through a pipe and the server's log. They are there this long, in seconds, after the
# server noticed the worker's end.
_LAST_WORDS_S = 1.5


def log_file(state: ServerState) -> Path:
    """Return the path of the server's log; what Java and the server say outside of it lies beside it."""
    return Path(state.folder) / LOG_FILE


def wait_until_loaded(state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float) -> None:
    """Return when every worker has loaded the model; arguments as in `pipeline.serving.server.Server`.

    Raises:
        ServerError: the server or a worker ended, or it is not ready in time.
    """
    log, board = log_file(state), board_of(state)
    noticed: float | None = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            reason = server_failure(log, process.returncode, reason_of_end(state))
            raise ServerError(f"{state.url}: expected a running server, found: {reason}")
        if failure := startup_failure(log):
            raise ServerError(f"{state.url}: expected a running server, found: {failure}")
        if noticed is None and gave_up(log):
            noticed = time.monotonic()
        settled = noticed is not None and time.monotonic() - noticed > _LAST_WORDS_S
        if failure := worker_failure(log, settled=settled):
            raise ServerError(failure)
        if noticed is None and board.ready == state.workers:
            return
        time.sleep(_POLL_S)
    failure = worker_failure(log, settled=True)
    raise ServerError(
        failure
        or f"{state.url}: expected {state.workers} ready worker(s) within {timeout_s:g} s, found {board.ready}; "
        "give it more time or look for what else keeps this machine busy"
    )


def worker_failure(log: Path, *, settled: bool) -> str | None:
    """Return the first failure of a worker, in its own words.

    Args:
        log: the server's log.
        settled: whether the log is complete, so that the server's own remark has to do where the worker said nothing.

    Returns:
        One line, or None if no worker failed so far.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    parsed = [line.split("|", 3) for line in lines if line.count("|") >= 3]
    for _, thread, _, message in parsed:
        if REFUSAL_MARK in message:
            return f"worker {_worker(thread)} refuses to serve: {message.partition(REFUSAL_MARK)[2]}"
    tracing: str | None = None
    for _, thread, _, message in parsed:
        if message.startswith("Traceback (most recent call last)"):
            tracing = tracing or thread
        elif thread == tracing and message and not message[0].isspace():
            return f"worker {_worker(thread)} failed: {message}"
    if settled:
        for _, thread, _, message in parsed:
            if _GAVE_UP.search(message):
                return f"worker {_worker(thread)} failed without a word of its own (crashed, or was killed): {message}"
    return None


def accepted_difference(log: Path) -> str | None:
    """Say how far off the golden answers of a worker are that serves on an accepted host; None where they are right."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(ACCEPTED_MARK)[2] for line in lines if ACCEPTED_MARK in line), None)


def startup_failure(log: Path) -> str | None:
    """Say what keeps a server from ever becoming ready though its process runs on; None where nothing is known to.

    Args:
        log: the server's log; what Java says lies beside it.
    """
    lines = _lines(log)
    for line in lines:
        if lost := _PORT_LOST.search(line):
            return f"port {lost[1]} was taken in the meantime (address already in use); run it again"
        if _PORT_TAKEN.search(line):
            return "a port was taken in the meantime (address already in use); run it again"
        if _NO_UNIX_SOCKETS.search(line):
            return (
                f"TorchServe cannot load its native library out of {log.parent}; set TMPDIR to a folder that programs "
                "may be run from"
            )
    for line, following in itertools.pairwise([*lines, ""]):
        if _FULL.search(line):
            return f"it cannot write: {free_room(log.parent)}; make room, or set TMPDIR to a folder that has some"
        if _HOPELESS.search(line):
            reason = _EXCEPTION.search(following)
            return line.rpartition("|")[2] + (f": {reason[1]}" if reason else "")
    return None


def server_failure(log: Path, code: int | None, reason: str | None = None) -> str:
    """Say why the server itself ended: what is known to keep it from running, its own reason, or an error in its log.

    Args:
        log: TorchServe's log; what Java says lies beside it.
        code: exit code of the first process; negative for a signal, None where nobody saw it end.
        reason: what the first process left behind, if it did.
    """
    if (known := startup_failure(log)) is not None:
        return known
    if code is None or code < 0 or (reason is not None and "was ended by" in reason):
        return reason or described_end(code)
    lines = [line for line in _lines(log) if not _NOISE.search(line)]
    errors = [line.rpartition("|")[2] for line in lines if _ERROR.search(line)]
    return (errors or lines or [reason or f"exit code {code}, and nothing in its log"])[0]


def _lines(log: Path) -> list[str]:
    """Return the lines of the log, then those of what Java and the server say outside of it."""
    lines: list[str] = []
    for path in (log, log.with_name(CONSOLE_FILE)):
        with contextlib.suppress(OSError):
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def gave_up(log: Path) -> bool:
    """Whether the server has noticed that a worker ended."""
    try:
        return _GAVE_UP.search(log.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def _worker(thread: str) -> str:
    match = _WORKER.search(thread)
    return match[1] if match else thread
