"""The processes that answer, as their owner sees them: requests go out as they are wanted, answers come in order.

No thread takes part. Ctrl-C may come between any two instructions of the main thread, also just after it took a lock
that other threads need: each would then wait for the other, for ever.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

# Requests for each process between the oldest one without an answer and the newest that was handed out: so far a fast
# process may be ahead of a slow one.
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
        idle, busy = deque(self._processes), dict[_Process, int]()
        early: dict[int, Answers] = {}
        due = 0
        numbered = enumerate(requests)
        upcoming = next(numbered, None)
        while upcoming is not None or busy or early:
            while upcoming is not None and idle and upcoming[0] < due + _AHEAD * len(self._processes):
                process, (number, request) = idle.popleft(), upcoming
                process.ask(request)
                busy[process] = number
                upcoming = next(numbered, None)  # the next one is read while this one is answered
            if due in early:
                yield early.pop(due)
                due += 1
                continue
            for process in _answering(busy):
                early[busy.pop(process)] = process.answer()
                idle.append(process)

    def _end(self) -> None:
        for process in self._processes:
            process.end()
        self._scratch.cleanup()


class _Process:
    """One process, which reads a line for each request, and has one request at a time."""

    def __init__(self, archive: Archive, job: Mapping[str, Any], log: Path) -> None:
        self._where = f"{archive.path}: candidate {archive.serving.candidate}"
        self._log = log
        self._request: Request | None = None
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

    def fileno(self) -> int:
        """Return the descriptor that can be read from as soon as there is an answer, or none will come."""
        descriptor: int = self._answers.fileno()
        return descriptor

    def require_ready(self) -> None:
        """Wait until the process has given the golden answers.

        Raises:
            ProofError: it has not.
        """
        head, _ = self._receive("it was ready")
        if "refusal" in head:
            raise ProofError(f"{self._where}: {head['refusal'].removeprefix(self._where.rpartition(': ')[2] + ': ')}")

    def ask(self, request: Request) -> None:
        """Hand over a request; the process has answered all others, so it reads this one at once."""
        self._request = request
        self._send(request.document)

    def answer(self) -> Answers:
        """Return the answers to the request that was handed over last.

        Raises:
            ProofError: the process ended.
        """
        assert self._request is not None
        head, content = self._receive(f"it had answered {self._request}")
        return Answers(
            request=self._request,
            examples=head["examples"],
            reasons=tuple((name, reason) for name, reason in head["reasons"]),
            content=content,
        )

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):  # it died before it read its last request
                stream.close()

    def _send(self, document: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # whoever waits for the answer says what happened
            self._requests.write(json.dumps(document).encode() + b"\n")
            self._requests.flush()

    def _receive(self, what: str) -> tuple[dict[str, Any], bytes]:
        line = self._answers.readline()
        head: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"bytes": 1}
        content = self._answers.read(head["bytes"])
        if len(content) != head["bytes"]:
            code = self._process.wait()
            reason = failure(code, self._log.read_text(encoding="utf-8", errors="replace"))
            raise ProofError(f"{self._where}: the process that answers ended before {what}: {reason}")
        return head, content


def _answering(processes: Iterable[_Process]) -> Sequence[_Process]:
    """Wait until there is an answer of at least one process, and return those of which there is one."""
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process, selectors.EVENT_READ, process)
        return [key.data for key, _ in selector.select()]
