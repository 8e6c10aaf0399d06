"""What TorchServe says of itself: whether it answers, and its workers, over a socket that only its user can reach."""

from __future__ import annotations

from pathlib import Path

import httpx

from pipeline.errors import ServerError
from pipeline.serving.server import ServerState, Worker

# Name of the socket in a server's private folder.
MANAGEMENT_SOCKET = "management.sock"
_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


def management_socket(state: ServerState) -> Path:
    """Return the Unix socket on which a server describes itself; only this user can enter its folder."""
    return Path(state.folder) / MANAGEMENT_SOCKET


def describe_workers(management: Path, model: str) -> tuple[Worker, ...]:
    """Ask for the model's workers.

    Args:
        management: path of the Unix socket of the server's management.
        model: the model's name.

    Raises:
        ServerError: there is no answer, or another one than expected.
    """
    try:
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(management)), timeout=_TIMEOUT, trust_env=False
        ) as client:
            document = client.get(f"http://localhost/models/{model}").json()
        return tuple(
            Worker(name=worker["id"], pid=max(0, int(worker["pid"])), status=worker["status"])
            for worker in document[0]["workers"]
        )
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ServerError(f"{management}: expected a description of the workers of {model}, found: {reason}") from error


def is_healthy(url: str) -> bool:
    """Whether the server answers at all; this says nothing of its workers."""
    try:
        return httpx.get(f"{url}/ping", timeout=_TIMEOUT, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
