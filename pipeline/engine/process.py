"""Processes: the one way to start another one, how its end is told, and the end of this one."""

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
# For processes that time or answer: as many threads as asked for, and idle ones sleep instead of spinning.
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_TIE = str(Path(__file__).with_name("tie.py"))
_PIPE = subprocess.PIPE
_NOTHING = subprocess.DEVNULL
# What ends a process most often where nobody meant to, and what a person may do about it.
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
    """Run a module of this package with this interpreter; nothing of the user's working directory gets in its way.

    `-P`: a `torch.py` or a folder `handlers` lying in the working directory is not ours to import.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def module_environment(*, threads: int | None = None, own_code: bool = False) -> dict[str, str]:
    """What a module of this package is run with: this very package comes first on the import path, installed or not.

    Args:
        threads: limit for the libraries that compute; theirs to choose if None.
        own_code: whether the module runs the user's own code, which gets all of this process's environment. What runs a
            model file, perhaps a stranger's, gets what `pipeline.engine.environment` lets through.
    """
    inherited = os.environ.get("PYTHONPATH")
    environment = dict(os.environ) if own_code else allowed_environment()
    environment["PYTHONPATH"] = os.pathsep.join([_ROOT, inherited] if inherited else [_ROOT])
    if threads is not None:
        environment |= dict.fromkeys(_THREADS, str(threads)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    return environment


def reserve_stdout() -> TextIO:
    """Keep standard output for answers alone: from now on whatever else is written there goes to standard error.

    A user's factory prints, C code writes to descriptor 1, and so do children; all of that follows.

    Returns:
        The stream for answers; children do not inherit it.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(_STDOUT), "w", encoding="utf-8")
    others = os.dup(_STDERR) if sys.stderr is not None else os.open(os.devnull, os.O_WRONLY)
    os.dup2(others, _STDOUT)
    os.close(others)
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
) -> subprocess.Popen[str]:
    """Start a program. Every child of this package is started here; none of them reports to a vendor.

    Args:
        command: the program and its arguments.
        tied: whether it is killed when this process ends, however that happens; see `pipeline.engine.tie`.
        own_session: whether it leads a session of its own, which Ctrl-C does not reach; all of that session ends then.
        cwd: its working directory; this process's if None.
        environment: all of it; this process's if None.
        stdin: as for `subprocess.Popen`, as the two others.
        stdout: what it answers.
        stderr: what it says of itself.

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
            pass_fds=() if reader < 0 else (reader,),
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
    """Run a program to its end; it is killed with this process, and with whatever interrupts the wait for it.

    Args:
        command: the program and its arguments.
        timeout_s: longest wait, in seconds.
        own_session: as for `start_child`; all of the session is killed where the wait ends early.
        cwd: as for `start_child`.
        environment: likewise.

    Returns:
        Its exit code and all that it wrote.

    Raises:
        subprocess.TimeoutExpired: it was killed, because it took longer.
        OSError: no process could be started.
    """
    with start_child(
        command, own_session=own_session, cwd=cwd, environment=environment, stdout=_PIPE, stderr=_PIPE
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=timeout_s)
        except BaseException:
            if own_session:
                # All of it: a child that is left would keep the pipes open.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def failure(code: int, stderr: str) -> str:
    """Why a process ended badly, in one clause: its signal and what that mostly means, or its last words.

    Args:
        code: as `Popen.returncode`: negative for a signal.
        stderr: what it wrote on standard error.
    """
    lines = [" ".join(line.split()) for line in stderr.splitlines() if line.strip()]
    last = lines[-1][:_LONGEST_WORDS] if lines else ""
    if code >= 0:
        return last or f"its process ended with code {code} and without a word"
    said = f"; its last words: {last}" if last else ""
    return f"its process was ended by {describe_signal(-code)}{said}"


def describe_signal(number: int) -> str:
    """A signal's name, and what it mostly means where nobody sent it on purpose."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    meaning = _MEANINGS.get(name)
    return f"signal {number} ({name}{f': {meaning}' if meaning else ''})"


@contextlib.contextmanager
def terminated_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does, so that every `finally` in it runs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # What is ignored, by `nohup` for example, stays ignored.
    numbers = [one for one in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
