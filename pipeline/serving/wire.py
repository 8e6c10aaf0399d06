"""What goes over the wire: where a server is asked, with which headers, and what its answers mean.

Bodies and answers are those of `handlers`, whichever server carries them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ServerError


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
class Wire:
    """How one kind of server is asked, and how its answers are read.

    Args:
        path: of predictions, in front of the model's name.
        logits_header: of a request that is also told the logits.
        decoded_header: of a request that is also told the digests of what was decoded.
        worker_header: of an answer: the process id of the worker that gave it.
        worker_gone: what the client says of the answer for a worker that ended, or has no successor yet.
    """

    path: str
    logits_header: str
    decoded_header: str
    worker_header: str
    worker_gone: re.Pattern[str]

    def address(self, url: str, model: str) -> str:
        """Where predictions of a model are posted to; `url` has no path."""
        return f"{url}{self.path}{model}"

    def names_model(self, path: str) -> bool:
        """Whether an address with this path is one that predictions are posted to."""
        return path.startswith(self.path) and path != self.path

    def headers(self, *, logits: bool = False, decoded: bool = False) -> Mapping[str, str]:
        """Headers of a request that is told more than the answer."""
        return {
            **({self.logits_header: "1"} if logits else {}),
            **({self.decoded_header: "1"} if decoded else {}),
        }

    def read_predictions(self, response: httpx.Response) -> tuple[Prediction, ...]:
        """The answers in a response, one per instance of the request.

        Raises:
            ServerError: the response holds something else; likewise below.
        """
        document = _document(response)
        try:
            return tuple(
                Prediction(
                    label=str(answer["label"]),
                    class_id=int(answer["class_id"]),
                    probability=float(answer["probability"]),
                    top=tuple(
                        (str(entry["label"]), int(entry["class_id"]), float(entry["probability"]))
                        for entry in answer["top"]
                    ),
                    version=str(answer["version"]),
                    digest=str(answer["digest"]),
                )
                for answer in document.get("predictions", [document])
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ServerError(
                f"{response.url}: expected label and probabilities, found: {response.text[:200]}"
            ) from error

    def read_logits(self, response: httpx.Response) -> Logits:
        """The logits in a response to a request that asked for them."""
        document = _document(response)
        answers = document.get("predictions", [document])
        try:
            return Logits(
                values=np.array([answer["logits"] for answer in answers], dtype=np.float32),
                labels=tuple(str(answer["label"]) for answer in answers),
                probabilities=tuple(float(answer["probability"]) for answer in answers),
                worker=int(response.headers[self.worker_header]),
                digest=str(answers[0]["digest"]),
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ServerError(f"{response.url}: expected logits and a worker, found: {response.text[:200]}") from error

    def read_decoded(self, response: httpx.Response) -> dict[str, str]:
        """SHA-256 by input name in a response to a request of one instance that asked for them."""
        try:
            return {str(name): str(digest) for name, digest in _document(response)["decoded"].items()}
        except (KeyError, AttributeError) as error:
            raise ServerError(
                f"{response.url}: expected digests of what was decoded, found: {response.text[:200]}"
            ) from error


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where predictions of one model are posted to, and how.

    Args:
        url: the whole address.
        wire: of the server that answers there.
    """

    url: str
    wire: Wire


def _document(response: httpx.Response) -> dict[str, Any]:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise ServerError(f"{response.url}: expected a JSON object, found: {response.text[:200]}")
    return document
