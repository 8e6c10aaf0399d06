"""What a server does. A server is one package in `serving` and one entry in `pipeline.serving.table.SERVERS`.

`lifecycle` starts, records, proves and ends servers of every kind; what differs between them is said here.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import psutil

from pipeline.engine.probe import Check
from pipeline.serving.defaults import DEFAULT_SERVER, HOST, ServerName
from pipeline.serving.door import Door

if TYPE_CHECKING:  # both need numpy, and a record of a server is read without it
    from pipeline.archive.mar import Archive
    from pipeline.serving.wire import Wire

# File in a private folder, with what a server's first process says outside its log.
CONSOLE_FILE = "console.log"
# Two clocks round a process's start differently; two processes of one id are further apart than this.
_SAME_START_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ServerState:
    """A server that was started.

    Args:
        port: port of predictions; it names the file.
        model: the model's name.
        version: the model's version.
        digest: digest of the archive's description.
        archive: path of the archive.
        workers: number of workers.
        pid: process id of the server's first process. It leads a session of its own, so it is also that session's id.
        started: time when that process started, in seconds since 1970.
        folder: the server's private temporary folder.
        ready: whether every worker has given the golden answers.
        stopping: whether it was asked to end.
        accepted: how its golden answers differ, where an operator accepted this host.
        private: whether a command runs it for itself and ends it, as a build does to try its archive.
        server: kind of server; earlier releases had only one.
        contact: address under which it is reached from this machine, as it stands in a URL.
        encrypted: whether it speaks TLS.
    """

    port: int
    model: str
    version: str
    digest: str
    archive: str
    workers: int
    pid: int
    started: float
    folder: str
    ready: bool = False
    stopping: bool = False
    accepted: str | None = None
    private: bool = False
    server: ServerName = DEFAULT_SERVER
    contact: str = HOST
    encrypted: bool = False

    @property
    def url(self) -> str:
        """The server's address, without a path."""
        return f"{'https' if self.encrypted else 'http'}://{self.contact}:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether the server's process runs."""
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return (
                abs(process.create_time() - self.started) < _SAME_START_S and process.status() != psutil.STATUS_ZOMBIE
            )
        return False


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker as the server describes it.

    Args:
        name: the worker's id.
        pid: its process, 0 while it has none.
        status: `READY` once its model is loaded.
    """

    name: str
    pid: int
    status: str


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """How an archive is served.

    Args:
        port: port for predictions.
        door: where it listens, and what a client must bring.
        workers: number of processes that answer.
        batch_size: most requests answered together, if that is fewer than the largest golden batch; nobody waits for a
            batch to fill.
        accept_host: whether workers may serve although their golden answers differ.
        pass_env: variables that workers get beyond those of `pipeline.engine.environment`.
        trust: whether workers run the archive's own handler; else this installation's.
    """

    port: int
    door: Door = field(default_factory=Door)
    workers: int = 1
    batch_size: int | None = None
    accept_host: bool = False
    pass_env: Sequence[str] = ()
    trust: bool = False


@dataclass(frozen=True, kw_only=True)
class Command:
    """How a server's first process is started.

    Args:
        arguments: the program and its arguments; the private folder is named in one of them.
        environment: the whole environment.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]


class Server(Protocol):
    """A kind of server.

    Attributes:
        title: its name for people.
        libraries: top-level Python modules. Their versions belong to a timing through this server.
        programs: how the names of its processes' programs begin.
        folder_prefix: how the name of a private folder begins; no other folder is ever removed.
        drain_s: longest time that it may take to end by itself, in seconds; then it is killed.
    """

    title: str
    libraries: tuple[str, ...]
    programs: tuple[str, ...]
    folder_prefix: str
    drain_s: float

    def wire(self) -> Wire:
        """Return what a client sends to it and reads from it."""
        ...

    def private_folder(self) -> Path:
        """Make a new folder that only this user can enter.

        Raises:
            FileError: there is no folder for temporary files.
            ServerError: there is none that this server can work in.
        """
        ...

    def configure(self, folder: Path, archive: Archive, settings: ServeSettings) -> Command:
        """Fill a private folder with what the server is started from.

        Raises:
            UsageError: a variable in `pass_env` is not set, or would steer the server.
            ServerError: the server, or what it runs on, is not installed.
        """
        ...

    def wait_until_loaded(
        self, state: ServerState, process: subprocess.Popen[str], *, deadline: float, timeout_s: float
    ) -> None:
        """Return when every worker has loaded the model.

        Args:
            state: record of the server that was started.
            process: the server's first process.
            deadline: latest time, on the monotonic clock, in seconds.
            timeout_s: longest time for the whole start, in seconds, for the message.

        Raises:
            ServerError: it ended, will never be ready, or is not by the deadline; says why.
        """
        ...

    def failure(self, state: ServerState, code: int | None) -> str:
        """Say in one clause why its first process ended.

        Args:
            state: record of the server.
            code: the process's exit code, negative for a signal; None where nobody saw it end.
        """
        ...

    def accepted_difference(self, state: ServerState) -> str | None:
        """Say how far off golden answers are that an operator accepted; None where they are right."""
        ...

    def is_healthy(self, state: ServerState) -> bool:
        """Whether it answers at all; this says nothing of its workers."""
        ...

    def workers(self, state: ServerState) -> tuple[Worker, ...]:
        """Return its workers as it describes them now.

        Raises:
            ServerError: it does not answer.
        """
        ...

    def unfit_temp(self, folder: Path) -> str | None:
        """Say in one clause why no private folder can lie in this one; None where one can."""
        ...

    def checks(self, python: str) -> tuple[Callable[[], Check], ...]:
        """Return checks that say whether what it needs is installed, for `pipeline doctor`; the order never changes.

        Args:
            python: path of the interpreter that its workers run on.
        """
        ...
