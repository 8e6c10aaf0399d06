"""The processes that answer, as their owner sees them: requests go out as they are wanted, answers come in order."""

from __future__ import annotations

import json
import queue
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pipeline.scoring.worker
from pipeline.archive.mar import Archive
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_environment, start_child
from pipeline.errors import ProofError
from pipeline.scoring.forms import Form
from pipeline.scoring.sources import Request, Source

# Requests under way for each process: while it answers one, the next is being written for it.
_AHEAD = 3


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The answers to one request.

    Args:
        request: request that is answered.
        examples: number of examples of the request.
        reasons: name and reason of each example that has no answer.
        content: the answers, in the form that was asked for; of outputs those of the answered examples alone.
    """

    request: Request
    examples: int
    reasons: tuple[tuple[str | int, str], ...]
    content: bytes


class Pool:
    """Processes that answer examples with one archive; a context that ends them.

    Args:
        archive: archive that was read and checked; no code of it is run.
        source: data to answer.
        form: form of the answers.
        workers: number of processes.
        batch_size: largest number of examples in one call of the model.

    Raises:
        ProofError: a process does not give the archive's golden answers, or ended.
    """

    def __init__(self, archive: Archive, source: Source, *, form: Form, workers: int, batch_size: int) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="score-")
        folder = Path(self._scratch.name, "unpacked")
        self._processes: list[_Process] = []
        self._threads = ThreadPoolExecutor(max_workers=workers)
        job = {
            "folder": str(folder),
            "digest": archive.digest,
            "data": source.job,
            "form": form,
            "batch_size": batch_size,
        }
        try:
            archive.unpack(folder)
            for number in range(workers):
                log = Path(self._scratch.name, f"worker-{number}.log")
                self._processes.append(_Process(archive, job, log))
            for process in self._processes:
                process.require_ready()
        except BaseException:
            self._end()
            raise
        self._free: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for process in self._processes:
            self._free.put(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def answers(self, requests: Iterable[Request]) -> Iterator[Answers]:
        """Yield the answers to requests, in their order.

        Raises:
            ProofError: a process ended.
        """
        waiting: deque[Future[Answers]] = deque()
        for request in requests:
            waiting.append(self._threads.submit(self._answer, request))
            if len(waiting) >= _AHEAD * len(self._processes):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _answer(self, request: Request) -> Answers:
        process = self._free.get()
        try:
            return process.answer(request)
        finally:
            self._free.put(process)

    def _end(self) -> None:
        for process in self._processes:
            process.end()
        self._threads.shutdown(cancel_futures=True)
        self._scratch.cleanup()


class _Process:
    """One process, which reads a line for each request."""

    def __init__(self, archive: Archive, job: Mapping[str, Any], log: Path) -> None:
        self._where = f"{archive.path}: candidate {archive.serving.candidate}"
        self._log = log
        with log.open("w", encoding="utf-8") as words:
            self._process = start_child(
                confined_command(pipeline.scoring.worker.__name__),
                environment=module_environment(threads=archive.serving.runtime.threads),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=words,
            )
        assert isinstance(self._process.stdin, TextIOWrapper)
        assert isinstance(self._process.stdout, TextIOWrapper)
        self._requests, self._answers = self._process.stdin.buffer, self._process.stdout.buffer
        self._send(job)

    def require_ready(self) -> None:
        """Wait until the process has given the golden answers.

        Raises:
            ProofError: it has not.
        """
        head, _ = self._receive("it was ready")
        if "refusal" in head:
            raise ProofError(f"{self._where}: {head['refusal'].removeprefix(self._where.rpartition(': ')[2] + ': ')}")

    def answer(self, request: Request) -> Answers:
        self._send(request.document)
        head, content = self._receive(f"it had answered {request}")
        return Answers(
            request=request,
            examples=head["examples"],
            reasons=tuple((name, reason) for name, reason in head["reasons"]),
            content=content,
        )

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            try:
                stream.close()
            except BrokenPipeError:  # it died before it read its last request
                continue

    def _send(self, document: Mapping[str, Any]) -> None:
        try:
            self._requests.write(json.dumps(document).encode() + b"\n")
            self._requests.flush()
        except BrokenPipeError:  # whoever waits for the answer says what happened
            return

    def _receive(self, what: str) -> tuple[dict[str, Any], bytes]:
        line = self._answers.readline()
        head: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"bytes": 1}
        content = self._answers.read(head["bytes"])
        if len(content) != head["bytes"]:
            code = self._process.wait()
            reason = failure(code, self._log.read_text(encoding="utf-8", errors="replace"))
            raise ProofError(f"{self._where}: the process that answers ended before {what}: {reason}")
        return head, content
