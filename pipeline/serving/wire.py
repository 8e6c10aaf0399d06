"""What goes over the wire: the address where a server is asked, the headers, and what its answers mean.

The bodies and answers are those of `handlers`, whichever server carries them.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.task_answers import ANSWERS, TaskName, read_answer
from pipeline.errors import ServerError


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One answer.

    Args:
        task: name of the task whose answer it is.
        answer: what the task tells: for classification label, class_id, probability and top.
        version: version of the model.
        digest: digest of the archive's description, the same for every worker of one archive.
    """

    task: TaskName
    answer: Mapping[str, Any]
    version: str
    digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the prediction as it stands in the server's answer."""
        return {**self.answer, "version": self.version, "digest": self.digest}

    def __str__(self) -> str:
        return ANSWERS[self.task].words(self.answer)


@dataclass(frozen=True, kw_only=True)
class Logits:
    """Raw answers, and the worker that gave them.

    Args:
        values: logits (N, K) float32.
        answers: (N) answers that the server told beside them.
        worker: process id of the worker.
        digest: digest of the archive's description.
    """

    values: NDArray[np.float32]
    answers: tuple[Mapping[str, Any], ...]
    worker: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class Wire:
    """How one kind of server is asked, and how its answers are read.

    Args:
        path: path of predictions, in front of the model's name.
        logits_header: header of a request that is also told the logits.
        decoded_header: header of a request that is also told the digests of what was decoded.
        worker_header: header of an answer: the process id of the worker that gave it.
        worker_gone: pattern of what the client says of the answer for a worker that ended, or has no successor yet.
    """

    path: str
    logits_header: str
    decoded_header: str
    worker_header: str
    worker_gone: re.Pattern[str]

    def address(self, url: str, model: str) -> str:
        """Return the address to which predictions of a model are posted; `url` has no path."""
        return f"{url}{self.path}{model}"

    def names_model(self, path: str) -> bool:
        """Whether an address with this path is one that predictions are posted to."""
        return path.startswith(self.path) and path != self.path

    def headers(self, *, logits: bool = False, decoded: bool = False) -> Mapping[str, str]:
        """Return the headers of a request that is told more than the answer."""
        return {
            **({self.logits_header: "1"} if logits else {}),
            **({self.decoded_header: "1"} if decoded else {}),
        }

    def read_predictions(self, response: httpx.Response) -> tuple[Prediction, ...]:
        """Return the answers in a response, one per instance of the request.

        Raises:
            ServerError: the response holds something else; the other readers raise it too.
        """
        document = _document(response)
        try:
            return tuple(map(_prediction, document.get("predictions", [document])))
        except (KeyError, TypeError, ValueError) as error:
            expected = " or ".join(answer.contents for answer in ANSWERS.values())
            raise ServerError(f"{response.url}: expected {expected}, found: {response.text[:200]}") from error

    def read_logits(self, response: httpx.Response) -> Logits:
        """Return the logits in a response to a request that asked for them."""
        document = _document(response)
        answers = document.get("predictions", [document])
        try:
            return Logits(
                values=np.array([answer["logits"] for answer in answers], dtype=np.float32),
                answers=tuple(read_answer(answer)[1] for answer in answers),
                worker=int(response.headers[self.worker_header]),
                digest=str(answers[0]["digest"]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ServerError(f"{response.url}: expected logits and a worker, found: {response.text[:200]}") from error

    def read_decoded(self, response: httpx.Response) -> dict[str, str]:
        """Return the SHA-256 by input name in a response to a request of one instance that asked for them."""
        try:
            return {str(name): str(digest) for name, digest in _document(response)["decoded"].items()}
        except (KeyError, AttributeError) as error:
            raise ServerError(
                f"{response.url}: expected digests of what was decoded, found: {response.text[:200]}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """The address that predictions of one model are posted to, and how.

    Args:
        url: the whole address.
        wire: wire format of the server that answers there.
        token: what the server wants to be brought; None for nothing.
        trust: certificates that the client trusts; None for those that everybody does.
    """

    url: str
    wire: Wire
    token: str | None = field(default=None, repr=False)
    trust: ssl.SSLContext | None = None

    def client(self, timeout: httpx.Timeout) -> httpx.Client:
        """Make a client for this endpoint.

        Args:
            timeout: longest waits.
        """
        headers = {} if self.token is None else {"authorization": f"Bearer {self.token}"}
        verify: ssl.SSLContext | bool = True if self.trust is None else self.trust
        return httpx.Client(timeout=timeout, trust_env=False, headers=headers, verify=verify)


def _prediction(document: Mapping[str, Any]) -> Prediction:
    task, answer = read_answer(document)
    return Prediction(task=task, answer=answer, version=str(document["version"]), digest=str(document["digest"]))


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{response.url}: expected a JSON object, found: {response.text[:200]}")
    return document
