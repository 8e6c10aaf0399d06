"""When a server is ready: every worker, by its id, has given the golden answers. And why it is not."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from handlers.answer_size import most_instances
from handlers.compare import compare
from handlers.golden import proves_nothing
from handlers.request import MAX_BODY_BYTES
from handlers.torchserve_handler import ACCEPTED_MARK, REFUSAL_MARK
from pipeline.archive.mar import Archive
from pipeline.archive.members import same_handler
from pipeline.errors import ServerError
from pipeline.places import free_room
from pipeline.process import describe_signal
from pipeline.serving.client import Logits, Worker, predict_logits
from pipeline.serving.encoding import encode_instances
from pipeline.serving.torchserve.configuration import CONSOLE_FILE

_WORKER = re.compile(r"W-(\d+)-")
_GAVE_UP = re.compile(
    r"Worker died|Worker disconnected|Load model failed|Failed start worker process|Backend stream closed|"
    r"Backend worker (?:startup time out|monitoring thread interrupted|did not respond)"
)
_PORT_TAKEN = re.compile(r"Address already in use|BindException")
_PORT_LOST = re.compile(r"Failed to bind to address\S* \S*:(\d+)$")
# Netty knows no Unix sockets where it cannot load its native library, and its exception says nothing.
_NO_UNIX_SOCKETS = re.compile(r"^Invalid configuration: null$")
# Log4j cannot write its own log then, so these stand among what Java says.
_FULL = re.compile(r"No space left on device|Disk quota exceeded|Unable to write to stream")
_HOPELESS = re.compile(r"Failed to load (?:initial )?model(?:s)?:|OutOfMemoryError|insufficient memory for the Java")
_EXCEPTION = re.compile(r"^[\w.$]+(?:Exception|Error): (.+)")
_ERROR = re.compile(r"^(?:ERROR|FATAL)\||^(?:Error|Exception|Unrecognized|Invalid)\b")
# What Java and the server say at every start, and the frames of a trace.
_NOISE = re.compile(r"^WARNING: |^nvidia-smi |^Model server started|^\s")
# Golden inputs posted in one request, as JSON: enough to mean something, small beside the server's limit.
_PART_BYTES = 1 << 20
# Nor may they take a slow model longer than the deadline of a request.
_PART_EXAMPLES = 8
# TorchServe's answers for a worker that ended, at once or a little later, and while there is none in its place.
_WORKER_GONE = re.compile(r"refused with (?:50[37]:|500: Worker died)")
# Between two rounds of golden requests.
_PAUSE_S = 0.1


def worker_failure(log: Path, *, settled: bool) -> str | None:
    """The first failure of a worker, in its own words.

    Args:
        log: the server's log.
        settled: whether the log is complete, so that the server's own remark has to do where the worker said nothing.

    Returns:
        One line, or None if no worker failed so far.
    """
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    parsed = [line.split("|", 3) for line in lines if line.count("|") >= 3]
    for _, thread, _, message in parsed:
        if REFUSAL_MARK in message:
            return f"worker {_worker(thread)} refuses to serve: {message.partition(REFUSAL_MARK)[2]}"
    tracing: str | None = None
    for _, thread, _, message in parsed:
        if message.startswith("Traceback (most recent call last)"):
            tracing = tracing or thread
        elif thread == tracing and message and not message[0].isspace():
            return f"worker {_worker(thread)} failed: {message}"
    if settled:
        for _, thread, _, message in parsed:
            if _GAVE_UP.search(message):
                return f"worker {_worker(thread)} failed without a word of its own (crashed, or was killed): {message}"
    return None


def accepted_difference(log: Path) -> str | None:
    """How far off the golden answers of a worker are that serves on an accepted host; None where they are right."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(ACCEPTED_MARK)[2] for line in lines if ACCEPTED_MARK in line), None)


def startup_failure(log: Path) -> str | None:
    """What keeps a server from ever becoming ready though its process runs on; None where nothing is known to.

    Args:
        log: the server's log; what Java says lies beside it.
    """
    lines = _lines(log)
    for line in lines:
        if lost := _PORT_LOST.search(line):
            return f"port {lost[1]} was taken in the meantime (address already in use); run it again"
        if _PORT_TAKEN.search(line):
            return "a port was taken in the meantime (address already in use); run it again"
        if _NO_UNIX_SOCKETS.search(line):
            return (
                f"TorchServe cannot load its native library out of {log.parent}; set TMPDIR to a folder that programs "
                "may be run from"
            )
    for line, following in itertools.pairwise([*lines, ""]):
        if _FULL.search(line):
            return f"it cannot write: {free_room(log.parent)}; make room, or set TMPDIR to a folder that has some"
        if _HOPELESS.search(line):
            reason = _EXCEPTION.search(following)
            return line.rpartition("|")[2] + (f": {reason[1]}" if reason else "")
    return None


def server_failure(log: Path, code: int) -> str:
    """Why the server itself ended: what is known to keep it from running, a signal, or the first error that it told.

    Args:
        log: the server's log; what Java says lies beside it.
        code: of its process: negative for a signal.
    """
    if (known := startup_failure(log)) is not None:
        return known
    if code < 0:
        return f"it was ended by {describe_signal(-code)}"
    lines = [line for line in _lines(log) if not _NOISE.search(line)]
    errors = [line.rpartition("|")[2] for line in lines if _ERROR.search(line)]
    return (errors or lines or [f"exit code {code}, and nothing in its log"])[0]


def _lines(log: Path) -> list[str]:
    """Of the log, then of what Java and the server say outside of it."""
    lines: list[str] = []
    for path in (log, log.with_name(CONSOLE_FILE)):
        with contextlib.suppress(OSError):
            lines += path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for line in lines if line.strip()]


def gave_up(log: Path) -> bool:
    """Whether the server has noticed that a worker ended."""
    try:
        return _GAVE_UP.search(log.read_text(encoding="utf-8", errors="replace")) is not None
    except OSError:
        return False


def golden_answers(archive: Archive) -> tuple[dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Golden inputs and the answers expected through the server.

    Returns:
        Arrays (N, *shape) by input name, and logits (N, K): of the largest batch, or one by one where the model's
        answers depend on the batch.
    """
    serving = archive.serving
    tensors = load(archive.members[serving.golden.file])
    size = max(serving.golden.batch_sizes) if serving.runtime.batch_invariant else 1
    return {spec.name: tensors[f"input.{spec.name}"] for spec in serving.inputs}, tensors[f"logits.{size}"]


def golden_request(archive: Archive) -> tuple[bytes, str, NDArray[np.float32]]:
    """A request of as many golden inputs as fit well.

    Returns:
        Body, content type, expected logits (n, K).

    Raises:
        ServerError: not even one fits into a request.
    """
    inputs = archive.serving.inputs
    arrays, logits = golden_answers(archive)
    one = encode_instances(inputs, {name: array[:1] for name, array in arrays.items()})
    if len(one) <= MAX_BODY_BYTES:
        # Where the batch shifts an answer, only copies of one example are sure to give what it gives alone.
        runtime = archive.serving.runtime
        fitting = min(_PART_BYTES // len(one), _PART_EXAMPLES, most_instances(archive.serving, with_logits=True))
        count = max(1, fitting) if runtime.batch_invariant or runtime.one_by_one else 1
        body = encode_instances(inputs, {name: array[:count] for name, array in arrays.items()})
        return body, "application/json", logits[:count]
    raw = arrays[inputs[0].name][0].tobytes()
    if len(inputs) == 1 and len(raw) <= MAX_BODY_BYTES:
        return raw, "application/octet-stream", logits[:1]
    raise ServerError(
        f"{archive.path}: expected inputs that fit into a request of {MAX_BODY_BYTES} bytes, found {len(one)} bytes"
    )


def notes(archive: Archive, *, trust: bool) -> Iterator[str]:
    """What a person should know of an archive that is served, a line each.

    Args:
        archive: that was read and checked.
        trust: whether its own handler runs.
    """
    if not trust and not same_handler(archive.members):
        yield "the archive's own handler is another one than this installation's, which answers; --trust runs its own"
    if proves_nothing(archive.serving, load(archive.members[archive.serving.golden.file])):
        yield "its golden answers prove nothing: one and the same answer to all of them would be inside the limit"


def prove_workers(
    url: str,
    archive: Archive,
    describe: Callable[[], tuple[Worker, ...]],
    *,
    deadline: float,
    accept_host: bool = False,
) -> None:
    """Post golden inputs until every worker has given the golden answers.

    Args:
        url: of predictions, with the model's name.
        archive: what is served.
        describe: asks the server for all of its workers; asked again and again, because it replaces one that ends.
        deadline: on the monotonic clock, in seconds.
        accept_host: answers may differ.

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
            raise _late(url, names, missing)
        try:
            answers = _ask_at_once(url, body, content_type, times=max(1, len(names)), timeout_s=remaining)
        except ServerError as error:
            if time.monotonic() >= deadline:
                raise _late(url, names, missing) from error
            if not _WORKER_GONE.search(str(error)):
                raise
            answers = []
        for answer in answers:
            comparison = compare(expected, answer.values, archive.serving.golden.tolerance, batch_size=1)
            if answer.digest != archive.digest:
                raise ServerError(f"{url}: expected digest {archive.digest}, found {answer.digest}: another server?")
            if not comparison.passed and not accept_host:
                raise ServerError(
                    f"worker {names.get(answer.worker, '?')} (process {answer.worker}) of candidate "
                    f"{archive.serving.candidate}: golden answers differ: {comparison.reason}"
                )
            proven.add(answer.worker)
        if not set(names) <= proven:
            time.sleep(_PAUSE_S)


def _ask_at_once(url: str, body: bytes, content_type: str, *, times: int, timeout_s: float) -> list[Logits]:
    """At once, so that a server that prefers one idle worker still hands each of them a request."""
    with ThreadPoolExecutor(max_workers=times) as pool:
        return list(pool.map(lambda _: predict_logits(url, body, content_type, timeout_s=timeout_s), range(times)))


def _late(url: str, names: Mapping[int, str], missing: set[int]) -> ServerError:
    late = ", ".join(f"{names[pid]} (process {pid})" for pid in sorted(missing)) or "any"
    return ServerError(f"{url}: expected golden answers from every worker, found none in time from {late}")


def _worker(thread: str) -> str:
    found = _WORKER.search(thread)
    return found[1] if found else thread
