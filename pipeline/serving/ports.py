"""Chooses the port that a server listens on."""

from __future__ import annotations

import socket

from pipeline.errors import ServerError
from pipeline.serving.defaults import HOST


def choose_port(port: int | None, host: str = HOST) -> int:
    """Return a port that is free at this moment: the one asked for, or any where none was asked for.

    Args:
        port: the port asked for.
        host: address of this machine that will be listened on.

    Raises:
        ServerError: the port asked for is taken, or may not be used.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as listener:
        # A port whose last connections are still closing counts as free, as it does for servers.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port or 0))
            listener.listen(1)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise ServerError(
                f"port {port}: expected a free port on {host}, found: {reason}; choose another with --port, "
                "or end what holds it (`pipeline status`, `pipeline stop`)"
            ) from error
        chosen: int = listener.getsockname()[1]
    return chosen
