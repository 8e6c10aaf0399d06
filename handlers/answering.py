"""Requests that are answered together: one that the model cannot answer is told so, and spoils no other."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from handlers.bad_request import BadRequest, without_trace
from handlers.limits import Deadline
from handlers.predictor import Predictor, lacks_resources, reason_of
from handlers.request import Request

_LOGGER = logging.getLogger(__name__)


def answer_requests(
    predictor: Predictor, requests: Sequence[Request], deadline: Deadline | None = None
) -> list[NDArray[np.float32] | Exception]:
    """Logits (N, K) of each request, all of them in one batch; one by one if that fails.

    Args:
        predictor: the model.
        requests: whose inputs passed every check.
        deadline: of all of them.

    Returns:
        For a request without an answer, the reason: `BadRequest` with status 422 where it lies in the request's values,
        400 where it lies in their sizes, 413 or 503 where the time was not enough; any other exception where the fault
        is ours.
    """
    if not requests:
        return []
    if len(requests) == 1:
        return [_answer_alone(predictor, requests[0], deadline)]
    try:
        logits = predictor.predict([instance for request in requests for instance in request.instances], deadline)
    except Exception:  # noqa: BLE001 - each request says what became of it
        _LOGGER.warning("no answer to %d requests together; each is answered alone", len(requests))
        return [_answer_alone(predictor, request, deadline) for request in requests]
    ends = np.cumsum([len(request.instances) for request in requests])
    return list(np.split(logits, ends[:-1]))


def _answer_alone(predictor: Predictor, request: Request, deadline: Deadline | None) -> NDArray[np.float32] | Exception:
    try:
        return predictor.predict(request.instances, deadline)
    except BadRequest as refusal:
        return without_trace(refusal)
    except Exception as error:
        problem = None if lacks_resources(error) else _problem_of(predictor, request, error, deadline)
        if problem is None:
            _LOGGER.exception("prediction failed")
        return without_trace(problem or error)


def _problem_of(
    predictor: Predictor, request: Request, error: Exception, deadline: Deadline | None
) -> BadRequest | None:
    """The fault of the request: the model answers its own golden example now, and not one of these instances alone."""
    if not predictor.answers_golden():
        return None
    if len(request.instances) == 1:
        return _no_answer(error, 0, request)
    for index, instance in enumerate(request.instances):
        try:
            predictor.predict([instance], deadline)
        except BadRequest as refusal:
            return refusal
        except Exception as alone:  # noqa: BLE001 - told in the answer
            return None if lacks_resources(alone) else _no_answer(alone, index, request)
    return None


def _no_answer(error: Exception, index: int, request: Request) -> BadRequest:
    where = f"instance {index}: " if request.listed else ""
    return BadRequest(
        f"{where}the model has no answer to these values",
        expected="values for which the network itself computes finite numbers",
        found=reason_of(error),
        status=422,
    )
