"""Answers to the requests that a worker gets together; one that gets no answer, or none in time, spoils no other."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest, without_trace
from .limits import Deadline, OutOfTime
from .predictor import Predictor, lacks_resources, reason_of
from .request import Request

_LOGGER = logging.getLogger(__name__)


def answer_requests(
    predictor: Predictor, requests: Sequence[Request], deadline: Deadline | None = None
) -> list[NDArray[np.float32] | Exception]:
    """Compute the logits (N, K) of each request; the smallest requests are answered first.

    As many requests as fit into one call of the model are answered together, or one by one if that fails. The others
    are answered alone, each with an equal share of the time that is left: a large one takes no time from another. Those
    whose share was too short share what the others left.

    Args:
        predictor: the model.
        requests: requests whose inputs passed every check.
        deadline: the time for all requests together.

    Returns:
        For each request the logits or, without an answer, the reason: `BadRequest` with status 422 where it lies in the
        request's values, 400 where it lies in their sizes, 413 or 503 where the time was too short; any other exception
        where the fault is ours.
    """
    if len(requests) == 1:
        return [_answer_alone(predictor, requests[0], None if deadline is None else deadline.share(0))]
    order = sorted(range(len(requests)), key=lambda index: _size(requests[index]))
    ends = list(accumulate(len(requests[index].instances) for index in order))
    together = order[: bisect_right(ends, predictor.batch_size)]
    answers: dict[int, NDArray[np.float32] | Exception] = {}
    if len(together) > 1:
        share = None if deadline is None else deadline.share(len(requests) - len(together))
        logits = _answer_together(predictor, [requests[index] for index in together], share)
        answers = dict(zip(together, logits, strict=False))
    alone = [index for index in order if index not in answers]
    answers |= _each_alone(predictor, requests, alone, deadline)
    late = [index for index in alone if isinstance(answers[index], OutOfTime)]
    again = _each_alone(predictor, requests, late, deadline)
    answers |= {index: answer for index, answer in again.items() if not isinstance(answer, OutOfTime)}
    return [answers[index] for index in range(len(requests))]


def _size(request: Request) -> int:
    """Count the bytes of a request's inputs."""
    return sum(array.nbytes for instance in request.instances for array in instance.values())


def _answer_together(
    predictor: Predictor, requests: Sequence[Request], deadline: Deadline | None
) -> list[NDArray[np.float32]]:
    """Compute the logits of each request in one call; the list is empty if that fails."""
    try:
        logits = predictor.predict([instance for request in requests for instance in request.instances], deadline)
    except Exception:  # noqa: BLE001 - each request says what became of it
        _LOGGER.warning("no answer to %d requests together; each is answered alone", len(requests))
        return []
    ends = accumulate(len(request.instances) for request in requests)
    return [logits[end - len(request.instances) : end] for end, request in zip(ends, requests, strict=True)]


def _each_alone(
    predictor: Predictor, requests: Sequence[Request], places: Sequence[int], deadline: Deadline | None
) -> dict[int, NDArray[np.float32] | Exception]:
    """Answer the requests at these places one by one, each in an equal share of the time that is left."""
    answers = {}
    for left, index in zip(reversed(range(len(places))), places, strict=True):
        share = None if deadline is None else deadline.share(left)
        answers[index] = _answer_alone(predictor, requests[index], share)
    return answers


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
    """Return the fault of the request, or None where the fault may be ours.

    It is the request's where the model still answers its own golden example, but not one of these instances alone.
    """
    if not predictor.answers_golden():
        return None
    if len(request.instances) == 1:
        return _no_answer(error, 0, request)
    for index, instance in enumerate(request.instances):
        try:
            predictor.predict([instance], deadline)
        except BadRequest as refusal:
            return refusal
        except Exception as failure:  # noqa: BLE001 - told in the answer
            return None if lacks_resources(failure) else _no_answer(failure, index, request)
    return None


def _no_answer(error: Exception, index: int, request: Request) -> BadRequest:
    where = f"instance {index}: " if request.listed else ""
    return BadRequest(
        f"{where}the model has no answer to these values",
        expected="values for which the network itself computes finite numbers",
        found=reason_of(error),
        status=422,
    )
