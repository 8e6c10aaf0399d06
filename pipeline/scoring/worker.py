"""Answers examples in a process of its own: `python -m pipeline.scoring.worker`.

It runs the code that serves, this installation's `handlers`, on an unpacked archive: every file is checked against its
digest, and pictures and golden answers are replayed, before anything is answered. `pipeline.scoring.pool` starts it,
writes a line for each request to its standard input, and reads the answers from its standard output.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.batch_answering import answer_requests
from pipeline._handlers.predictor import Predictor, Refusal, reason_of
from pipeline._handlers.request import Request
from pipeline._handlers.task_answers import ANSWERS
from pipeline.engine.process import reserve_stdout
from pipeline.scoring.examples import Example, Instance, reader_of
from pipeline.scoring.forms import Form, csv_lines

# Name of the example, with the model's outputs (K,) or the reason why there are none.
Outcome = tuple[str | int, NDArray[np.float32] | str]


def main() -> int:
    """Answer the requests of one job.

    Returns:
        0, or 1 where the archive will not answer here; the first line of the answers then says why.
    """
    stream = reserve_stdout()
    answers = stream.buffer
    logging.disable(logging.CRITICAL)  # what is wrong with an example is told in its answer
    job: dict[str, Any] = json.loads(sys.stdin.readline())
    try:
        predictor = _load(Path(job["folder"]), job["digest"])
    except Refusal as refusal:
        _write(answers, {"refusal": str(refusal)})
        return 1
    encode = _encoder(job["form"], predictor)
    read = reader_of(job["data"], predictor.serving.inputs)
    _write(answers, {"ready": True})
    for line in sys.stdin:
        outcomes = list(_outcomes(predictor, read(json.loads(line)), job["batch_size"]))
        reasons = [(name, outcome) for name, outcome in outcomes if isinstance(outcome, str)]
        _write(answers, {"examples": len(outcomes), "reasons": reasons}, encode(outcomes))
    return 0


def _load(folder: Path, digest: str) -> Predictor:
    predictor = Predictor.load(folder)
    if predictor.digest != digest:
        raise Refusal(f"expected the archive {digest} as it was checked, found {predictor.digest}")
    predictor.require_self_test()
    return predictor


def _outcomes(predictor: Predictor, examples: Iterator[Example], batch_size: int) -> Iterator[Outcome]:
    """Answer examples in batches; one without an answer spoils no other."""
    while batch := list(islice(examples, batch_size)):
        answers = _answers(predictor, [instance for _, instance in batch if not isinstance(instance, BadRequest)])
        for name, instance in batch:
            outcome = instance if isinstance(instance, BadRequest) else next(answers)
            match outcome:
                case BadRequest():
                    yield name, str(outcome)
                case Exception():
                    yield name, f"the model failed: {reason_of(outcome)}"
                case _:
                    yield name, outcome


def _answers(predictor: Predictor, instances: Sequence[Instance]) -> Iterator[NDArray[np.float32] | Exception]:
    """Yield outputs (K,) for each example, or the reason why there are none, as a server finds it out."""
    if not instances:
        return
    try:
        yield from predictor.predict(instances)
    except Exception:  # noqa: BLE001 - each example says what became of it
        requests = [Request(instances=(instance,), form="instances", listed=False) for instance in instances]
        for outcome in answer_requests(predictor, requests):
            yield outcome if isinstance(outcome, Exception) else outcome[0]


def _encoder(form: Form, predictor: Predictor) -> Callable[[Sequence[Outcome]], bytes]:
    """Return the function that writes answers in a form."""
    match form:
        case "csv":
            return lambda outcomes: csv_lines(_rows(predictor, outcomes))
        case "jsonl":
            return lambda outcomes: b"".join(_documents(predictor, outcomes))
        case "outputs":
            return lambda outcomes: b"".join(
                outcome.astype("<f4").tobytes() for _, outcome in outcomes if not isinstance(outcome, str)
            )
        case unreachable:
            assert_never(unreachable)


def _rows(predictor: Predictor, outcomes: Iterable[Outcome]) -> Iterator[Sequence[object]]:
    answer = ANSWERS[predictor.serving.task]
    empty = [None] * len(answer.columns(predictor.serving))
    for name, outcome in outcomes:
        if isinstance(outcome, str):
            yield name, *empty, outcome
        else:
            yield name, *answer.cells(predictor.serving, outcome), None


def _documents(predictor: Predictor, outcomes: Iterable[Outcome]) -> Iterator[bytes]:
    for name, outcome in outcomes:
        answer = {"error": outcome} if isinstance(outcome, str) else predictor.answer(outcome)
        key = "file" if isinstance(name, str) else "row"
        yield json.dumps({key: name, **answer}).encode() + b"\n"


def _write(stream: BinaryIO, head: Mapping[str, Any], content: bytes = b"") -> None:
    """Write a line of JSON, which says how many bytes follow it, and these bytes."""
    stream.write(json.dumps({**head, "bytes": len(content)}).encode() + b"\n" + content)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
