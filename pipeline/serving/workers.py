"""Proves that a server is ready: every worker, by its id, has given the golden answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from pipeline._handlers.answer_size import Extras, longest_answer, most_instances
from pipeline._handlers.compare import compare
from pipeline._handlers.golden import proves_nothing
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import Archive
from pipeline.archive.members import same_handler
from pipeline.engine.side_by_side import side_by_side
from pipeline.errors import ServerError
from pipeline.serving.client import predict_logits
from pipeline.serving.encoding import encode_instances
from pipeline.serving.server import Worker
from pipeline.serving.wire import Endpoint, Logits

# Bytes of golden inputs posted in one request, as JSON: enough to mean something, small beside the server's limit.
_PART_BYTES = 1 << 20
# More examples might take a slow model longer than the deadline of a request.
_PART_EXAMPLES = 8
# Pause between two rounds of golden requests, in seconds.
_PAUSE_S = 0.1


def golden_request(archive: Archive) -> tuple[bytes, str, NDArray[np.float32]]:
    """Return a request of as many golden inputs as fit well.

    Returns:
        The body, its content type, and the expected logits (n, K).

    Raises:
        ServerError: not even one fits into a request.
    """
    inputs = archive.serving.inputs
    arrays, logits = golden_answers(archive)
    single = encode_instances(inputs, {name: array[:1] for name, array in arrays.items()})
    if len(single) <= MAX_BODY_BYTES:
        # Where the batch shifts an answer, only copies of one example are sure to give what it gives alone.
        serving = archive.serving
        runtime = serving.runtime
        room = most_instances(serving, longest_answer(serving), Extras(logits=True))
        fitting = min(_PART_BYTES // len(single), _PART_EXAMPLES, room)
        count = max(1, fitting) if runtime.batch_invariant or runtime.one_by_one else 1
        body = encode_instances(inputs, {name: array[:count] for name, array in arrays.items()})
        return body, "application/json", logits[:count]
    raw = arrays[inputs[0].name][0].tobytes()
    if len(inputs) == 1 and len(raw) <= MAX_BODY_BYTES:
        return raw, "application/octet-stream", logits[:1]
    raise ServerError(
        f"{archive.path}: expected inputs that fit into a request of {MAX_BODY_BYTES} bytes, found {len(single)} bytes"
    )


def notes(archive: Archive, *, trust: bool) -> Iterator[str]:
    """Say what a person should know of an archive that is served, a line each.

    Args:
        archive: archive that was read and checked.
        trust: whether its own handler runs.
    """
    if not trust and not same_handler(archive.members):
        yield "the archive's own handler is another one than this installation's, which answers; --trust runs its own"
    if proves_nothing(archive.serving, load(archive.members[archive.serving.golden.file])):
        yield "its golden answers prove nothing: one and the same answer to all of them would be inside the limit"


def prove_workers(
    endpoint: Endpoint,
    archive: Archive,
    describe: Callable[[], tuple[Worker, ...]],
    *,
    deadline: float,
    accept_host: bool = False,
) -> None:
    """Post golden inputs until every worker has given the golden answers.

    Args:
        endpoint: endpoint of predictions.
        archive: archive that is served.
        describe: asks the server for all of its workers. It is called again and again, because the server replaces a
            worker that ends.
        deadline: latest time, on the monotonic clock, in seconds.
        accept_host: whether answers may differ.

    Raises:
        ServerError: an answer differs, or a worker has not answered in time; the worker is named.
    """
    body, content_type, expected = golden_request(archive)
    proven: set[int] = set()
    names: dict[int, str] = {}
    while True:
        names = {worker.pid: worker.name for worker in describe()} or names
        missing = set(names) - proven
        if names and not missing:
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise _late(endpoint.url, names, missing)
        try:
            answers = _ask_at_once(endpoint, body, content_type, times=max(1, len(names)), timeout_s=remaining)
        except ServerError as error:
            if time.monotonic() >= deadline:
                raise _late(endpoint.url, names, missing) from error
            if not endpoint.wire.worker_gone.search(str(error)):
                raise
            answers = []
        for answer in answers:
            comparison = compare(expected, answer.values, archive.serving.golden.tolerance, batch_size=1)
            if answer.digest != archive.digest:
                raise ServerError(
                    f"{endpoint.url}: expected digest {archive.digest}, found {answer.digest}: another server?"
                )
            if not comparison.passed and not accept_host:
                raise ServerError(
                    f"worker {names.get(answer.worker, '?')} (process {answer.worker}) of candidate "
                    f"{archive.serving.candidate}: golden answers differ: {comparison.reason}"
                )
            proven.add(answer.worker)
        if not set(names) <= proven:
            time.sleep(_PAUSE_S)


def _ask_at_once(endpoint: Endpoint, body: bytes, content_type: str, *, times: int, timeout_s: float) -> list[Logits]:
    """Ask at once, so that a server that prefers one idle worker still hands each of them a request."""
    return list(
        side_by_side(
            lambda _: predict_logits(endpoint, body, content_type, timeout_s=timeout_s), range(times), at_once=times
        )
    )


def _late(url: str, names: Mapping[int, str], missing: set[int]) -> ServerError:
    late = ", ".join(f"{names[pid]} (process {pid})" for pid in sorted(missing)) or "any"
    return ServerError(f"{url}: expected golden answers from every worker, found none in time from {late}")
