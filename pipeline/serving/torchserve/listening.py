"""Looks which ports a server's processes have open: a server with any but that of predictions must not serve."""

from __future__ import annotations

import contextlib

import psutil

from pipeline.errors import ServerError
from pipeline.serving.server import ServerState


def open_ports(state: ServerState) -> dict[int, str]:
    """Return the TCP ports on which the server's processes listen, each with the program that does."""
    ports = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        java = psutil.Process(state.pid)
        for process in (java, *java.children(recursive=True)):
            # Where the system hides connections, even of one's own processes, nothing can be said of them.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        ports[connection.laddr.port] = process.name()
    return ports


def require_no_other_port(state: ServerState) -> None:
    """Stop where more than predictions could be asked for, by every user of this machine.

    TorchServe talks to its workers through ports where it cannot load its native library, for example out of a folder
    that is mounted noexec.

    Raises:
        ServerError: another port is open.
    """
    others = {port: program for port, program in open_ports(state).items() if port != state.port}
    if others:
        ports = ", ".join(f"{port} ({program})" for port, program in sorted(others.items()))
        raise ServerError(
            f"{state.url}: expected no other open port, found {ports}, open to every user of this machine; "
            f"TorchServe needs a folder for temporary files that programs may be run from (now {state.folder}): set "
            "TMPDIR to one; an archive's own handler (--trust) may open none either"
        )
