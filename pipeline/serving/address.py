"""The address that predictions are posted to: one that a person gives, or that of the server that was started here."""

from __future__ import annotations

import urllib.parse
from dataclasses import replace
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.serving.defaults import DEFAULT_PORT, DEFAULT_SERVER, HOST
from pipeline.serving.door import DOOR_FILE, Door, read_token
from pipeline.serving.server import ServerState
from pipeline.serving.state import read_states
from pipeline.serving.table import SERVERS
from pipeline.serving.wire import Endpoint

DEFAULT_URL = f"http://{HOST}:{DEFAULT_PORT}"


def endpoint_of(state: ServerState) -> Endpoint:
    """Return the endpoint to which predictions of a server that was started here are posted."""
    wire = SERVERS[state.server].wire()
    door = Door.read(Path(state.folder)) if Path(state.folder, DOOR_FILE).exists() else Door()
    return Endpoint(url=wire.address(state.url, state.model), wire=wire, token=door.token, trust=door.trust())


def prediction_endpoint(url: str | None, *, model: str | None = None) -> Endpoint:
    """Return the full address to post to, and the wire format of the server that answers there.

    Args:
        url: address as a person gives it: nothing, a host, or a whole address.
        model: name of the model, where it is known; else that of the model on the server that was started here counts.

    Raises:
        UsageError: the model's name is not in the address and no known server has it.
    """
    states = read_states()
    if url is None:
        served = [state for state in states if not state.private]
        if len(served) == 1:
            return endpoint_of(served[0])
        at_default = [state for state in served if state.url == DEFAULT_URL]
        if at_default:
            return endpoint_of(at_default[0])
        urls = ", ".join(state.url for state in served) or "none"
        raise UsageError(f"expected one running server, found {urls}; start one with `pipeline serve` or give --url")
    usual = SERVERS[DEFAULT_SERVER].wire()
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise UsageError(f"--url {url}: expected http://host:port or {usual.address('http://host:port', '<name>')}")
    base = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    token = read_token(None)
    local = base.replace("//localhost:", f"//{HOST}:")
    own = next((state for state in states if state.url == local), None)
    if path:
        wires = [SERVERS[own.server].wire()] if own is not None else [server.wire() for server in SERVERS.values()]
        wire = next((wire for wire in wires if wire.names_model(path)), None)
        if wire is None:
            raise UsageError(f"--url {url}: expected the path {usual.address('', '<name>')}, found {path}")
        if own is not None:
            return replace(endpoint_of(own), url=f"{base}{path}")
        return Endpoint(url=f"{base}{path}", wire=wire, token=token)
    if model is not None:
        if own is not None:
            return replace(endpoint_of(own), url=SERVERS[own.server].wire().address(base, model))
        return Endpoint(url=usual.address(base, model), wire=usual, token=token)
    if own is not None:
        return endpoint_of(own)
    raise UsageError(
        f"--url {url}: expected {usual.address('', '<name>')} at its end, because that server was not started here"
    )
