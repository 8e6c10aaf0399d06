"""Processes: how this package starts a child, describes how a child ended, and reacts to signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, TextIO

from pipeline.engine.environment import allowed_environment

_ROOT = str(Path(__file__).resolve().parents[2])
# Processes that measure time or answer requests get a fixed number of threads by these variables. Their idle threads
# sleep instead of spinning.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_TIE = str(Path(__file__).with_name("tie.py"))
_PIPE = subprocess.PIPE
_NOTHING = subprocess.DEVNULL
# Signals that most often end a process when nobody meant to end it, with the usual cause.
_MEANINGS = {
    "SIGKILL": "most likely out of memory (`dmesg` tells), or somebody killed it",
    "SIGSEGV": "a library crashed",
    "SIGBUS": "a library crashed, a file became shorter while it was mapped, or a disk or /dev/shm is full",
    "SIGILL": "a library uses instructions that this processor does not have",
    "SIGFPE": "a library crashed in integer arithmetic",
    "SIGABRT": "a library gave up",
    "SIGXCPU": "its limit of processor time was reached (`ulimit -t`)",
    "SIGXFSZ": "its limit on the size of a file was reached (`ulimit -f`)",
    "SIGTERM": "somebody ended it",
}
_LONGEST_WORDS = 500
_STDOUT, _STDERR = 1, 2


def module_command(module: str, *arguments: str) -> list[str]:
    """Command that runs a module of this package with this interpreter, whatever lies in the working directory.

    With `-P`, Python does not import a `torch.py` or a folder `pipeline` that lies in the working directory.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(*, threads: int | None = None, own_code: bool = False) -> dict[str, str]:
    """Environment for a module of this package. This package comes first on its import path, installed or not.

    Args:
        threads: limit for the libraries that compute; they choose if None.
        own_code: whether the module runs the user's own code, which gets all of this process's environment. A process
            that runs a model file, perhaps a stranger's, gets what `pipeline.engine.environment` lets through.
    """
    inherited = os.environ.get("PYTHONPATH")
    environment = dict(os.environ) if own_code else allowed_environment()
    environment["PYTHONPATH"] = os.pathsep.join([_ROOT, inherited] if inherited else [_ROOT])
    if threads is not None:
        environment |= dict.fromkeys(_THREADS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    return environment


def reserve_stdout() -> TextIO:
    """Keep standard output for answers alone: from now on everything else written there goes to standard error.

    This covers what a user's factory prints, and what C code and children write to descriptor 1.

    Returns:
        The stream for answers; children do not inherit it.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8")
    diagnostics = os.dup(_STDERR) if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
    os.dup2(diagnostics, _STDOUT)
    os.close(diagnostics)
    return answers


def start_child(
    command: Sequence[str],
    *,
    tied: bool = True,
    own_session: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: int | IO[str] = _NOTHING,
    stdout: int | IO[str] = _NOTHING,
    stderr: int | IO[str] = _NOTHING,
    kept: Sequence[int] = (),
) -> subprocess.Popen[str]:
    """Start a program. Every child of this package is started here; none of them reports to a vendor.

    Args:
        command: the program and its arguments.
        tied: whether it is killed when this process ends, however that happens; see `pipeline.engine.tie`.
        own_session: whether it leads a session of its own, which Ctrl-C does not reach. A tied child's whole session is
            killed with it.
        cwd: its working directory; this process's if None.
        environment: all of its environment; this process's if None.
        stdin: its standard input, as for `subprocess.Popen`.
        stdout: its standard output, as for `subprocess.Popen`.
        stderr: its standard error, as for `subprocess.Popen`.
        kept: open files of this process, by number, that stay open in it.

    Raises:
        OSError: no process could be started. A tied command that cannot be run ends with code 127 instead.
    """
    from pipeline._handlers.onnx_runtime_import import TELEMETRY_OFF

    reader = writer = -1
    main_thread = threading.current_thread() is threading.main_thread()
    # Linux counts the *thread* that starts a child as its parent.
    if tied and (own_session or sys.platform != "linux" or not main_thread):
        reader, writer = os.pipe()
    arguments = [str(os.getpid()), str(reader), str(int(own_session))]
    prefix = [sys.executable, "-I", "-S", _TIE, *arguments] if tied else []
    try:
        process = subprocess.Popen(
            [*prefix, *command],
            cwd=cwd,
            env={**(os.environ if environment is None else environment), **TELEMETRY_OFF},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            text=True,
            errors="replace",
            start_new_session=own_session,
            pass_fds=kept if reader < 0 else (*kept, reader),
        )
    except BaseException:
        if writer >= 0:
            os.close(writer)
        raise
    finally:
        if reader >= 0:
            os.close(reader)
    if writer >= 0:
        weakref.finalize(process, os.close, writer)
    return process


def run_child(
    command: Sequence[str],
    *,
    timeout_s: float | None = None,
    own_session: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. It is killed when this process ends and when the wait for it is interrupted.

    Args:
        command: the program and its arguments.
        timeout_s: longest wait, in seconds.
        own_session: as for `start_child`; the whole session is killed if the wait ends early.
        cwd: as for `start_child`.
        environment: as for `start_child`.

    Returns:
        Its exit code and all that it wrote.

    Raises:
        subprocess.TimeoutExpired: the program took longer and was killed.
        OSError: no process could be started.
    """
    with running_child(command, own_session=own_session, cwd=cwd, environment=environment) as process:
        try:
            return finished_child(process, timeout_s=timeout_s)
        except BaseException:
            if own_session:
                kill_session(process)  # others in it may live on where the program itself has ended
            raise


@contextlib.contextmanager
def running_child(
    command: Sequence[str],
    *,
    own_session: bool = False,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """Start a program that runs beside this one; at the end of the block it is killed, unless it was waited for.

    Args:
        command: the program and its arguments.
        own_session: as for `start_child`.
        cwd: as for `start_child`.
        environment: as for `start_child`.

    Raises:
        OSError: no process could be started.
    """
    with start_child(
        command, own_session=own_session, cwd=cwd, environment=environment, stdout=_PIPE, stderr=_PIPE
    ) as process:
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()


def finished_child(
    process: subprocess.Popen[str], *, timeout_s: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Wait for the end of a running child.

    Args:
        process: the child.
        timeout_s: longest wait, in seconds.

    Returns:
        Its exit code and all that it wrote.

    Raises:
        subprocess.TimeoutExpired: the program took longer.
    """
    stdout, stderr = process.communicate(timeout=timeout_s)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def kill_session(process: subprocess.Popen[str]) -> None:
    """Kill a process that leads a session of its own, and all others in it, which would keep its pipes open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def failure(code: int, stderr: str) -> str:
    """Why a process failed, in one clause: its signal and the usual cause, or the last line that it wrote.

    Args:
        code: its exit code, as in `Popen.returncode`; negative for a signal.
        stderr: text that it wrote on standard error.
    """
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    last = lines[-1][:_LONGEST_WORDS] if lines else ""
    if code >= 0:
        return last or f"its process ended with code {code} and without a word"
    ending = f"; its last words: {last}" if last else ""
    return f"its process was ended by {describe_signal(-code)}{ending}"


def describe_signal(number: int) -> str:
    """Name of a signal, and its usual cause where nobody sent it on purpose."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    meaning = _MEANINGS.get(name)
    return f"signal {number} ({name}{f': {meaning}' if meaning else ''})"


class Terminated(KeyboardInterrupt):
    """An interrupt by SIGTERM or SIGHUP: somebody wants the program to end in order."""


@contextlib.contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the block as Ctrl-C does, so that every `finally` in it runs.

    Raises:
        Terminated: such a signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    # A signal that is ignored, by `nohup` for example, stays ignored.
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
