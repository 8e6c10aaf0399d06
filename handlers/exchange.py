"""Responses to requests as they came in, whichever server carries them: decode, compute, encode.

A request that is wrong gets its 4xx, one whose failure is ours a 500, and neither spoils another one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .answer_size import Extras
from .bad_request import BadRequest, without_trace
from .batch_answering import answer_requests
from .body_forms import decode_request, encode_responses
from .limits import Deadline, OutOfTime
from .predictor import Predictor, reason_of
from .request import Answered, Request

# This header of an answer says which worker answered, so that every single worker can be checked through the server.
WORKER_HEADER = "X-Pipeline-Worker"
# The answer to a request with this header also holds the logits, so that answers can be compared to the last digit.
LOGITS_HEADER = "X-Pipeline-Logits"
# The answer to a request with this header also holds the SHA-256 of each decoded input, so that decoders can be
# compared.
DECODED_HEADER = "X-Pipeline-Decoded"

_LOGGER = logging.getLogger(__name__)


# Frozen objects take two to four times as long to make.
@dataclass(slots=True, kw_only=True)
class Incoming:
    """A request as a server received it.

    Args:
        body: the bytes as received; where the server decoded them already, text or whatever JSON can hold.
        content_type: the declared media type, with or without parameters; empty if there was none.
        extras: what the answer holds besides the task's own fields.
    """

    body: Any
    content_type: str
    extras: Extras

    @property
    def size(self) -> int:
        """Count the bytes of the body; 0 where the server parsed it already."""
        return len(self.body) if isinstance(self.body, (bytes, bytearray, str)) else 0


@dataclass(slots=True)
class Response:
    """What a client gets: JSON.

    Args:
        status: the HTTP status.
        body: the JSON's bytes.
        worker: process id of the worker that gave it, where that is another process than the one that tells the client.
    """

    status: int
    body: bytes
    worker: int | None = None


@dataclass(slots=True)
class Steps:
    """Times of one call of `respond`, in seconds, and what it was for.

    Args:
        decode_s: time for all bodies.
        predict_s: time in the model, for all examples.
        encode_s: time for all responses.
        examples: number of examples that were answered.
    """

    decode_s: float = 0.0
    predict_s: float = 0.0
    encode_s: float = 0.0
    examples: int = 0


def respond(
    predictor: Predictor,
    requests: Sequence[Incoming | Exception],
    deadline: Deadline | None = None,
    steps: Steps | None = None,
) -> list[Response]:
    """Answer requests that a worker gets together.

    Args:
        predictor: the model.
        requests: requests, or why one was refused before its body was decoded.
        deadline: the time for all of them together; by default the time that the archive gives a call.
        steps: receives how long each step took.

    Returns:
        One response per request, in their order.
    """
    deadline = Deadline(predictor.limits.seconds) if deadline is None else deadline
    began = time.perf_counter()
    decoded = _decode_all(predictor, requests, deadline)
    good = [request for request in decoded if isinstance(request, Request)]
    ready = time.perf_counter()
    answers = answer_requests(predictor, good, deadline)
    answered = time.perf_counter()
    responses = _encode_all(predictor, requests, decoded, answers)
    if steps is not None:
        steps.decode_s, steps.predict_s, steps.encode_s = (
            ready - began,
            answered - ready,
            time.perf_counter() - answered,
        )
        steps.examples = sum(len(request.instances) for request in good)
    return responses


def refusal(problem: BadRequest) -> Response:
    """Return the response that says what is wrong with a request."""
    return Response(problem.status, json.dumps(problem.to_json()).encode())


def _encode_all(
    predictor: Predictor,
    requests: Sequence[Incoming | Exception],
    decoded: Sequence[Request | Exception],
    answers: Sequence[NDArray[np.float32] | Exception],
) -> list[Response]:
    """Return the response to each request, from the answers to those that were decoded."""
    left = iter(answers)
    responses: list[Response] = []
    good: list[Response] = []  # those among them whose bodies are still to be written
    answered: list[Answered] = []
    for incoming, request in zip(requests, decoded, strict=True):
        if isinstance(request, Exception):
            responses.append(_failure("the request cannot be decoded", request))
            continue
        answer = next(left)
        if isinstance(answer, Exception):
            responses.append(_failure("the model failed", answer))
            continue
        response = Response(200, b"")
        responses.append(response)
        good.append(response)
        answered.append(Answered(request, answer, Extras() if isinstance(incoming, Exception) else incoming.extras))
    for response, body in zip(good, encode_responses(predictor, answered), strict=True):
        response.body = body
    return responses


def _failure(what: str, reason: Exception) -> Response:
    """Return the response that says what is wrong with a request, or that the fault is ours."""
    if isinstance(reason, BadRequest):
        return refusal(reason)
    return Response(500, json.dumps({"error": what, "found": reason_of(reason)}).encode())


def _decode_all(
    predictor: Predictor, requests: Sequence[Incoming | Exception], deadline: Deadline
) -> list[Request | Exception]:
    """Decode each request, or say what is wrong with it; the smallest come first: no large one delays them.

    Those whose share of the time was too short share what the others left.
    """
    if len(requests) == 1:  # it shares the time with none
        return [_decode(predictor, requests, 0, deadline)]
    deadline = deadline.share(1)  # the other half of the time is for the answers
    decoded: dict[int, Request | Exception] = {}
    for index in sorted(range(len(requests)), key=lambda index: _size(requests[index])):
        decoded[index] = _decode(predictor, requests, index, deadline.share(len(requests) - len(decoded) - 1))
    late = [index for index, request in decoded.items() if isinstance(request, OutOfTime)]
    for left, index in zip(reversed(range(len(late))), late, strict=True):
        again = _decode(predictor, requests, index, deadline.share(left))
        if not isinstance(again, OutOfTime):
            decoded[index] = again
    return [decoded[index] for index in range(len(requests))]


def _decode(
    predictor: Predictor, requests: Sequence[Incoming | Exception], index: int, deadline: Deadline
) -> Request | Exception:
    """Decode one of several requests, or say what is wrong with it."""
    incoming = requests[index]
    if isinstance(incoming, Exception):
        return incoming
    try:
        return decode_request(
            incoming.body,
            incoming.content_type,
            predictor.serving.inputs,
            limits=predictor.limits,
            rooms=predictor.answer_rooms.rooms(incoming.extras).__getitem__,
            deadline=deadline,
        )
    except BadRequest as problem:
        return without_trace(problem)
    except Exception as error:  # the other requests of the batch would fail with it
        _LOGGER.exception("request %d of %d cannot be decoded", index, len(requests))
        return without_trace(error)


def _size(request: Incoming | Exception) -> int:
    return 0 if isinstance(request, Exception) else request.size
