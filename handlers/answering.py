"""Requests that are answered together: one that the model cannot answer is told so, and spoils no other."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handlers.decode import BadRequest
from handlers.predictor import Predictor
from handlers.request import Request

_LOGGER = logging.getLogger(__name__)
# torch and ONNX Runtime raise errors of their own, with such words, where there is no memory left.
_MEMORY = re.compile("alloc|out of memory", re.IGNORECASE)
_LONGEST_REASON = 300


def answer_requests(predictor: Predictor, requests: Sequence[Request]) -> list[NDArray[np.float32] | Exception]:
    """Logits (N, K) of each request, all of them in one batch; one by one if that fails.

    Args:
        predictor: the model.
        requests: whose inputs passed every check.

    Returns:
        For a request without an answer, the reason: `BadRequest` with status 422 where it lies in the request's values,
        any other exception where the fault is ours.
    """
    if not requests:
        return []
    if len(requests) == 1:
        return [_answer_alone(predictor, requests[0])]
    try:
        logits = predictor.predict([instance for request in requests for instance in request.instances])
    except Exception:  # noqa: BLE001 - each request says what became of it
        _LOGGER.warning("no answer to %d requests together; each is answered alone", len(requests))
        return [_answer_alone(predictor, request) for request in requests]
    ends = np.cumsum([len(request.instances) for request in requests])
    return list(np.split(logits, ends[:-1]))


def _answer_alone(predictor: Predictor, request: Request) -> NDArray[np.float32] | Exception:
    try:
        return predictor.predict(request.instances)
    except Exception as error:
        problem = None if _lacks_resources(error) else _problem_of(predictor, request, error)
        if problem is None:
            _LOGGER.exception("prediction failed")
        return problem or error


def _lacks_resources(error: Exception) -> bool:
    """Whether there was no memory, or no file; then nothing is said of the request."""
    return isinstance(error, (MemoryError, OSError)) or _MEMORY.search(str(error)) is not None


def _problem_of(predictor: Predictor, request: Request, error: Exception) -> BadRequest | None:
    """The fault of the request: the model answers its own golden example now, and not one of these instances alone."""
    if not predictor.answers_golden():
        return None
    if len(request.instances) == 1:
        return _no_answer(error, 0, request)
    for index, instance in enumerate(request.instances):
        try:
            predictor.predict([instance])
        except Exception as alone:  # noqa: BLE001 - told in the answer
            return None if _lacks_resources(alone) else _no_answer(alone, index, request)
    return None


def _no_answer(error: Exception, index: int, request: Request) -> BadRequest:
    where = f"instance {index}: " if request.listed else ""
    reason = " ".join(str(error).split())[:_LONGEST_REASON] or type(error).__name__
    return BadRequest(
        f"{where}the model has no answer to these values",
        expected="values for which the network itself computes finite numbers",
        found=reason,
        status=422,
    )
