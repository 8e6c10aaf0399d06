"""The client: it posts to a server, and says what was answered, refused or not answered."""

from __future__ import annotations

import http.client
import itertools
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from pipeline._handlers.picture_kinds import PICTURE_KINDS, picture_kind
from pipeline.engine.side_by_side import side_by_side
from pipeline.errors import FileError, PipelineError, ServerError, UsageError
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.wire import Endpoint, Logits, Prediction

_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 5.0
_TIMEOUT = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
# Statuses that the handler answers to a body that it cannot take; others of 400 to 499 (404, 429) speak of the server.
_BODY_ERRORS = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNSUPPORTED_MEDIA_TYPE,
    httpx.codes.UNPROCESSABLE_ENTITY,
)
# A file of such a name is meant as a picture, whatever it holds.
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class _RefusedError(ServerError):
    """The server's answer is an error; `status` is that of HTTP."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def predict(
    files: Sequence[Path], url: str | None = None
) -> Iterator[tuple[Path, tuple[Prediction, ...] | PipelineError]]:
    """Ask a running server about files, one after the other.

    Args:
        files: pictures of the kinds in `PICTURE_KINDS`, JSON documents (`.json`), or raw bytes.
        url: the server's address, with or without the path of predictions; by default the one server that
            `pipeline serve` started.

    Yields:
        Each file, in order, with one answer, or one per instance of a JSON document; or with the error of a file that
        cannot be read (`FileError`), is no input of the model (`UsageError`), or that the server failed to answer
        (`ServerError`).

    Raises:
        UsageError: no server was named and none, or more than one, is known.
        ServerError: the server does not answer.
    """
    endpoint = prediction_endpoint(url)
    with endpoint.client(_TIMEOUT) as client:
        for path in files:
            outcome: tuple[Prediction, ...] | PipelineError
            try:
                outcome = _predict_file(client, endpoint, path)
            except (FileError, UsageError, ServerError) as error:
                if isinstance(error.__cause__, httpx.HTTPError):  # the server will not answer for the next file either
                    raise
                outcome = error
            yield path, outcome


def predict_bytes(endpoint: Endpoint, body: bytes, content_type: str) -> tuple[Prediction, ...]:
    """Ask about a body of a given media type.

    Raises:
        ServerError: the server does not answer, or refuses the body.
    """
    with endpoint.client(_TIMEOUT) as client:
        return endpoint.wire.read_predictions(_post(client, endpoint.url, body, content_type, "request"))


def predict_logits(endpoint: Endpoint, body: bytes, content_type: str, *, timeout_s: float = _TIMEOUT_S) -> Logits:
    """Ask like `predict_bytes`; return the logits instead of labels, and the worker that answered.

    `timeout_s` is the longest wait, in seconds.
    """
    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
    with endpoint.client(timeout) as client:
        return _logits(client, endpoint, body, content_type, "request")


def predict_decoded(endpoint: Endpoint, body: bytes, content_type: str, *, name: str) -> dict[str, str]:
    """Return the SHA-256 of the values that the server decodes a request to, by input name.

    Args:
        endpoint: endpoint of the model.
        body: body of a request of one instance.
        content_type: content type of the body.
        name: name of the body, for messages.

    Raises:
        ServerError: the server does not answer, refuses the body, or names no digests.
    """
    wire = endpoint.wire
    with endpoint.client(_TIMEOUT) as client:
        return wire.read_decoded(_post(client, endpoint.url, body, content_type, name, wire.headers(decoded=True)))


def predict_many_logits(
    endpoint: Endpoint, bodies: Sequence[bytes], content_type: str, *, at_once: int = 1, names: Sequence[str] = ()
) -> Iterator[Logits]:
    """Post many bodies; otherwise it is like `predict_logits`.

    Args:
        endpoint: endpoint of the model.
        bodies: bodies of the requests, one each.
        content_type: content type of all bodies.
        at_once: requests that may be under way together.
        names: names of the bodies, for messages; by default their positions.

    Yields:
        One answer for each body, in the order of the bodies.

    Raises:
        ServerError: the server does not answer, or refuses a body.
    """
    named = list(zip(bodies, names or [f"request {row}" for row in range(len(bodies))], strict=True))
    with endpoint.client(_TIMEOUT) as client:
        yield from side_by_side(
            lambda request: _logits(client, endpoint, request[0], content_type, request[1]), named, at_once=at_once
        )


@contextmanager
def one_connection(url: str, bodies: Sequence[bytes], content_type: str) -> Iterator[Callable[[], float]]:
    """Keep one connection open, to time what goes over it; the standard library's client costs the least itself.

    Args:
        url: address of an endpoint, plain HTTP.
        bodies: bodies that are posted in turn, again and again.
        content_type: content type of all bodies.

    Yields:
        A function that posts the next body, and returns the seconds until all of its answer was there. It raises
        `ServerError` where the server does not answer, or refuses.
    """
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_TIMEOUT_S)
    waiting = itertools.cycle(bodies)
    headers = {"content-type": content_type}

    def ask() -> float:
        body = next(waiting)
        started = time.perf_counter()
        try:
            connection.request("POST", parts.path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ServerError(f"{url}: expected an answer, found: {_reason(error)}") from error
        seconds = time.perf_counter() - started
        if response.status != httpx.codes.OK:
            raise ServerError(f"{url}: refused with {response.status}: {answer[:200].decode(errors='replace')}")
        return seconds

    try:
        yield ask
    finally:
        connection.close()


def _logits(client: httpx.Client, endpoint: Endpoint, body: bytes, content_type: str, what: str) -> Logits:
    wire = endpoint.wire
    return wire.read_logits(_post(client, endpoint.url, body, content_type, what, wire.headers(logits=True)))


def _predict_file(client: httpx.Client, endpoint: Endpoint, path: Path) -> tuple[Prediction, ...]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: expected a readable file, found: {error.strerror}") from error
    kind = picture_kind(body)
    if kind is not None:
        content_type = PICTURE_KINDS[kind].media_type
    elif path.suffix.lower() in _PICTURE_SUFFIXES:
        content_type = f"image/{path.suffix[1:].lower()}"
    else:
        content_type = "application/json" if path.suffix == ".json" else "application/octet-stream"
    try:
        return endpoint.wire.read_predictions(_post(client, endpoint.url, body, content_type, str(path)))
    except _RefusedError as refusal:
        if refusal.status in _BODY_ERRORS:
            raise UsageError(str(refusal)) from refusal
        raise


def _post(
    client: httpx.Client,
    url: str,
    body: bytes,
    content_type: str,
    what: str,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    try:
        response = client.post(url, content=body, headers={"content-type": content_type, **(headers or {})})
    except httpx.HTTPError as error:
        raise ServerError(
            f"{url}: expected an answer, found: {_reason(error)}; is it running? (`pipeline status`)"
        ) from error
    if response.status_code == httpx.codes.OK:
        return response
    try:
        document = response.json()
        detail = document.get("error") or document.get("message") or response.text
        if "expected" in document:
            detail = f"{detail}: expected {document['expected']}, found {document['found']}"
    except (ValueError, AttributeError, KeyError):
        detail = response.text
    message = f"{what}: refused with {response.status_code}: {' '.join(str(detail).split())[:500]}"
    raise _RefusedError(message, response.status_code)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
