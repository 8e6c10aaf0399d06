"""The client: the only file that knows what comes back over the wire."""

from __future__ import annotations

import http.client
import itertools
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from handlers.decode import picture_kind
from handlers.torchserve_handler import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER
from pipeline.errors import FileError, PipelineError, RecipeError, ServerError
from pipeline.serving.address import prediction_url

_TIMEOUT_S = 60.0
_CONNECT_TIMEOUT_S = 5.0
_TIMEOUT = httpx.Timeout(_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
# What the handler answers to a body that it cannot take; the others of 400 to 499 (404, 429) speak of the server.
_OF_THE_BODY = (
    httpx.codes.BAD_REQUEST,
    httpx.codes.REQUEST_ENTITY_TOO_LARGE,
    httpx.codes.UNSUPPORTED_MEDIA_TYPE,
    httpx.codes.UNPROCESSABLE_ENTITY,
)
# A file of such a name is meant as a picture, whatever it holds.
_PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")


class _RefusedError(ServerError):
    """The server's answer is an error; `status` is HTTP's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One answer.

    Args:
        label: the most probable class.
        class_id: its index.
        probability: 0 to 1.
        top: label, class index and probability of the most probable classes, in order.
        version: of the model.
        digest: of the archive's description, the same for every worker of one archive.
    """

    label: str
    class_id: int
    probability: float
    top: tuple[tuple[str, int, float], ...]
    version: str
    digest: str

    def to_json(self) -> dict[str, Any]:
        """As in the server's answer."""
        return {
            "label": self.label,
            "class_id": self.class_id,
            "probability": self.probability,
            "top": [{"label": label, "class_id": index, "probability": p} for label, index, p in self.top],
            "version": self.version,
            "digest": self.digest,
        }


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Raw answers, and who gave them.

    Args:
        values: (N, K) float32.
        labels: (N) as the server named them.
        probabilities: (N) of those labels, as the server told them.
        worker: process id of the worker.
        digest: of the archive's description.
    """

    values: NDArray[np.float32]
    labels: tuple[str, ...]
    probabilities: tuple[float, ...]
    worker: int
    digest: str


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


def predict(
    files: Sequence[Path], url: str | None = None
) -> Iterator[tuple[Path, tuple[Prediction, ...] | PipelineError]]:
    """Ask a running server about files, one after the other.

    Args:
        files: PNG or JPEG pictures, JSON documents (`.json`), or raw bytes.
        url: the server's address, with or without `/predictions/<name>`; by default the one server that
            `pipeline serve` started.

    Yields:
        Each file, in order, with one answer, or one per instance of a JSON document; or with the error of a file that
        cannot be read (`FileError`), is no input of the model (`RecipeError`), or that the server failed to answer
        (`ServerError`).

    Raises:
        RecipeError: no server was named and none, or more than one, is known.
        ServerError: the server does not answer.
    """
    address = prediction_url(url)
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        for path in files:
            outcome: tuple[Prediction, ...] | PipelineError
            try:
                outcome = _predict_file(client, address, path)
            except (FileError, RecipeError, ServerError) as error:
                if isinstance(error.__cause__, httpx.HTTPError):  # nor will it answer for the next file
                    raise
                outcome = error
            yield path, outcome


def predict_bytes(url: str, body: bytes, content_type: str) -> tuple[Prediction, ...]:
    """Ask about a body of a given media type; `url` ends in `/predictions/<name>`.

    Raises:
        ServerError: the server does not answer, or refuses the body.
    """
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        return _predictions(_post(client, url, body, content_type, "request"))


def predict_logits(url: str, body: bytes, content_type: str, *, timeout_s: float = _TIMEOUT_S) -> Logits:
    """Like `predict_bytes`, with the logits instead of labels, and the worker that answered.

    `timeout_s` is the longest wait, in seconds.
    """
    timeout = httpx.Timeout(timeout_s, connect=min(_CONNECT_TIMEOUT_S, timeout_s))
    with httpx.Client(timeout=timeout, trust_env=False) as client:
        return _logits(client, url, body, content_type, "request")


def predict_decoded(url: str, body: bytes, content_type: str, *, name: str) -> dict[str, str]:
    """SHA-256 of the values that the server decodes a request to, by input name.

    Args:
        url: ends in `/predictions/<name>`.
        body: of one instance.
        content_type: of it.
        name: of the body, for messages.

    Raises:
        ServerError: the server does not answer, refuses the body, or names no digests.
    """
    with httpx.Client(timeout=_TIMEOUT, trust_env=False) as client:
        response = _post(client, url, body, content_type, name, {DECODED_HEADER: "1"})
    try:
        return {str(one): str(digest) for one, digest in _document(response)["decoded"].items()}
    except (KeyError, AttributeError) as error:
        raise ServerError(f"{url}: expected digests of what was decoded, found: {response.text[:200]}") from error


def predict_many_logits(
    url: str, bodies: Sequence[bytes], content_type: str, *, at_once: int = 1, names: Sequence[str] = ()
) -> Iterator[Logits]:
    """Like `predict_logits` for many bodies.

    Args:
        url: ends in `/predictions/<name>`.
        bodies: one request each.
        content_type: of all of them.
        at_once: requests that may be under way together.
        names: of the bodies, for messages; by default their positions.

    Yields:
        An answer each, in the order of the bodies.

    Raises:
        ServerError: the server does not answer, or refuses a body.
    """
    named = list(zip(bodies, names or [f"request {row}" for row in range(len(bodies))], strict=True))
    with (
        httpx.Client(timeout=_TIMEOUT, trust_env=False) as client,
        ThreadPoolExecutor(max_workers=at_once) as pool,
    ):
        yield from pool.map(lambda one: _logits(client, url, one[0], content_type, one[1]), named)


@contextmanager
def one_connection(url: str, bodies: Sequence[bytes], content_type: str) -> Iterator[Callable[[], float]]:
    """Keep one connection open, to time what goes over it; the standard library's client costs the least itself.

    Args:
        url: ends in `/predictions/<name>`, plain HTTP.
        bodies: posted in turn, again and again.
        content_type: of all of them.

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


def _logits(client: httpx.Client, url: str, body: bytes, content_type: str, what: str) -> Logits:
    response = _post(client, url, body, content_type, what, {LOGITS_HEADER: "1"})
    document = _document(response)
    answers = document.get("predictions", [document])
    try:
        return Logits(
            values=np.array([answer["logits"] for answer in answers], dtype=np.float32),
            labels=tuple(str(answer["label"]) for answer in answers),
            probabilities=tuple(float(answer["probability"]) for answer in answers),
            worker=int(response.headers[WORKER_HEADER]),
            digest=str(answers[0]["digest"]),
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ServerError(f"{url}: expected logits and a worker, found: {response.text[:200]}") from error


def describe_workers(management: Path, model: str) -> tuple[Worker, ...]:
    """The model's workers.

    Args:
        management: the Unix socket of the server's management.
        model: the model's name.

    Raises:
        ServerError: no answer, or another one than expected.
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
        raise ServerError(
            f"{management}: expected a description of the workers of {model}, found: {_reason(error)}"
        ) from error


def is_healthy(url: str) -> bool:
    """Whether the server answers at all; says nothing of its workers."""
    try:
        return httpx.get(f"{url}/ping", timeout=_TIMEOUT, trust_env=False).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def _predict_file(client: httpx.Client, url: str, path: Path) -> tuple[Prediction, ...]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: expected a readable file, found: {error.strerror}") from error
    kind = picture_kind(body)
    if kind is not None:
        content_type = f"image/{kind.lower()}"
    elif path.suffix.lower() in _PICTURE_SUFFIXES:
        content_type = f"image/{path.suffix[1:].lower()}"
    else:
        content_type = "application/json" if path.suffix == ".json" else "application/octet-stream"
    try:
        return _predictions(_post(client, url, body, content_type, str(path)))
    except _RefusedError as refusal:
        if refusal.status in _OF_THE_BODY:
            raise RecipeError(str(refusal)) from refusal
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


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{response.url}: expected a JSON object, found: {response.text[:200]}")
    return document


def _predictions(response: httpx.Response) -> tuple[Prediction, ...]:
    document = _document(response)
    try:
        return tuple(
            Prediction(
                label=str(answer["label"]),
                class_id=int(answer["class_id"]),
                probability=float(answer["probability"]),
                top=tuple(
                    (str(one["label"]), int(one["class_id"]), float(one["probability"])) for one in answer["top"]
                ),
                version=str(answer["version"]),
                digest=str(answer["digest"]),
            )
            for answer in document.get("predictions", [document])
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ServerError(f"{response.url}: expected label and probabilities, found: {response.text[:200]}") from error


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
