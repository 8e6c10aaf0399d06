"""Proves that a server is ready: every worker, by its id, has given the golden answers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from safetensors.numpy import load

from pipeline._handlers.compare import compare
from pipeline._handlers.golden import proves_nothing
from pipeline.archive.mar import Archive
from pipeline.archive.members import same_handler
from pipeline.engine.side_by_side import side_by_side
from pipeline.errors import ServerError
from pipeline.serving.client import predict_logits
from pipeline.serving.golden_question import golden_question
from pipeline.serving.question import Question
from pipeline.serving.server import Worker
from pipeline.serving.wire import Endpoint, Logits

# Pause between two rounds of golden requests, in seconds.
_PAUSE_S = 0.1


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
    question = golden_question(archive)
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
            answers = _ask_at_once(endpoint, question, times=max(1, len(names)), timeout_s=remaining)
        except ServerError as error:
            if time.monotonic() >= deadline:
                raise _late(endpoint.url, names, missing) from error
            if not endpoint.wire.worker_gone.search(str(error)):
                raise
            answers = []
        for answer in answers:
            comparison = compare(question.expected, answer.values, archive.serving.golden.tolerance, batch_size=1)
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


def _ask_at_once(endpoint: Endpoint, question: Question, *, times: int, timeout_s: float) -> list[Logits]:
    """Ask at once, so that a server that prefers one idle worker still hands each of them a request."""
    return list(
        side_by_side(
            lambda _: predict_logits(endpoint, question.body, question.content_type, timeout_s=timeout_s),
            range(times),
            at_once=times,
        )
    )


def _late(url: str, names: Mapping[int, str], missing: set[int]) -> ServerError:
    late = ", ".join(f"{names[pid]} (process {pid})" for pid in sorted(missing)) or "any"
    return ServerError(f"{url}: expected golden answers from every worker, found none in time from {late}")
