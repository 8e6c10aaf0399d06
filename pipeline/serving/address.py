"""Where predictions are posted to: as a person gives it, or at the server that was started here."""

from __future__ import annotations

import urllib.parse

from pipeline.errors import RecipeError
from pipeline.serving.state import ServerState, read_states

DEFAULT_URL = "http://127.0.0.1:8080"


def prediction_url(url: str | None, *, model: str | None = None) -> str:
    """The full address to post to.

    Args:
        url: as a person gives it: nothing, a host, or a whole address.
        model: its name, where it is known; else that of the server that was started here counts.

    Raises:
        RecipeError: the model's name is not in the address and no known server has it.
    """
    states = read_states()
    if url is None:
        served = [state for state in states if not state.private]
        if len(served) == 1:
            return _address(served[0])
        at_default = [state for state in served if state.url == DEFAULT_URL]
        if at_default:
            return _address(at_default[0])
        found = ", ".join(state.url for state in served) or "none"
        raise RecipeError(f"expected one running server, found {found}; start one with `pipeline serve` or give --url")
    parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RecipeError(f"--url {url}: expected http://host:port or http://host:port/predictions/<name>")
    base = f"{parts.scheme}://{parts.netloc}"
    path = parts.path.rstrip("/")
    if path.startswith("/predictions/"):
        return f"{base}{path}"
    if path:
        raise RecipeError(f"--url {url}: expected the path /predictions/<name>, found {path}")
    if model is not None:
        return f"{base}/predictions/{model}"
    local = base.replace("//localhost:", "//127.0.0.1:")
    for state in states:
        if state.url == local:
            return _address(state)
    raise RecipeError(f"--url {url}: expected /predictions/<name> at its end, because that server was not started here")


def _address(state: ServerState) -> str:
    return f"{state.url}/predictions/{state.model}"
