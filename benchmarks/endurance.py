"""A server under load for long: `python -m benchmarks.endurance ARCHIVE --server asgi --minutes 30 --requests 1000000`.

Clients on many connections send requests of all kinds that the model takes, mixed at random, until both the minutes
and the requests are over. Every answer is held against the file's own, in this process, by the archive's comparison:
bit for bit where the build found the answers independent of their batch. Memory and open files of each process are
sampled. The exit code is 1 where an answer was wrong or missing, a process was replaced, memory grew by 5 % from the
second minute on, or open files did.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import get_args

import psutil
import uvloop

from benchmarks.http_client import Client, LostError, post
from benchmarks.judge import LOGITS, Judge
from benchmarks.model_requests import model_requests, require_one_picture
from pipeline._handlers.exchange import Response
from pipeline.archive.mar import Archive, read_archive
from pipeline.serving.defaults import DEFAULT_SERVER, ServerName
from pipeline.serving.lifecycle import running_server
from pipeline.serving.server import ServerState

_MOST_INSTANCES = 32
_SAMPLE_S = 5.0
# What grows in the first minute are caches: compared is with the median of the samples after it.
_SETTLED_S = 60.0
_MOST_GROWTH = 0.05
_FAULTS_SHOWN = 20


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A request as it goes over the wire, and its right answer."""

    kind: str
    sent: bytes
    expected: Response


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at all processes of a server.

    Args:
        second: when it was, since the start.
        memory: resident bytes by process.
        files: open files by process.
    """

    second: float
    memory: dict[tuple[int, str], int]
    files: dict[tuple[int, str], int]


@dataclass
class Record:
    """What happened.

    Args:
        statuses: number of answers by kind of request and status; 0 is none.
        faults: wrong answers and missing ones, the first of them in words.
        wrong: number of them.
        identical: number of answers that are the file's own, byte for byte.
        samples: looks at the processes.
        seconds: how long it took.
    """

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    wrong: int = 0
    identical: int = 0
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0

    def count(self, request: Ready, status: int, fault: str) -> None:
        """Count an answer."""
        self.statuses[request.kind, status] += 1
        if fault:
            self.wrong += 1
            if len(self.faults) < _FAULTS_SHOWN:
                self.faults.append(f"{request.kind}: {fault}")


def main() -> int:
    """Print what happened.

    Returns:
        0, or 1 where something should not have.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help=".mar file of a model of one picture")
    parser.add_argument("--server", choices=get_args(ServerName), default=DEFAULT_SERVER)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=30, help="least time")
    parser.add_argument("--requests", type=int, default=1_000_000, help="least number of requests")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--different", type=int, default=5000, help="different requests, each sent many times")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    archive = read_archive(arguments.archive)
    judge = Judge(archive)
    requests = prepared(archive, judge, arguments.different, seed=arguments.seed)
    with running_server(archive, server=arguments.server, workers=arguments.workers) as state:
        record = uvloop.run(
            endure(
                state,
                judge,
                requests,
                connections=arguments.connections,
                seconds=60 * arguments.minutes,
                number=arguments.requests,
                seed=arguments.seed,
            )
        )
    print("\n".join(report(record, judge)))
    return 1 if complaints(record) else 0


def prepared(archive: Archive, judge: Judge, number: int, *, seed: int) -> list[Ready]:
    """Make different requests, and their right answers."""
    serving = archive.serving
    spec = require_one_picture(serving.inputs)
    ready = []
    for request in model_requests(serving.name, spec, number, most=_MOST_INSTANCES, seed=seed):
        headers = [("content-type", request.content_type), *LOGITS.items()]
        ready.append(
            Ready(
                kind=request.kind,
                sent=post(request.path, request.body, headers),
                expected=judge.expected(request.path, headers, request.body),
            )
        )
    return ready


async def endure(
    state: ServerState,
    judge: Judge,
    requests: list[Ready],
    *,
    connections: int,
    seconds: float,
    number: int,
    seed: int,
) -> Record:
    """Send requests until both the time and their number are over.

    Args:
        state: server that is asked.
        judge: judge of its answers.
        requests: requests to choose from.
        connections: connections, each with one request under way.
        seconds: least time, in seconds.
        number: least number of requests.
        seed: seed of the choice.
    """
    record, random, began, sent = Record(), Random(seed), time.monotonic(), 0  # noqa: S311 - no cryptography

    async def ask_on() -> None:
        nonlocal sent
        client = Client(state.port, timeout_s=60)
        while sent < number or time.monotonic() - began < seconds:
            sent += 1
            request = random.choice(requests)
            try:
                reply = await client.ask(request.sent)
            except (OSError, TimeoutError, LostError) as error:
                record.count(request, 0, f"no answer: {type(error).__name__}: {error}")
                continue
            record.identical += reply.body == request.expected.body
            record.count(request, reply.status, judge.difference(request.expected, reply.status, reply.body))
        client.close()

    async def look() -> None:
        while True:
            record.samples.append(await asyncio.to_thread(sample, state, time.monotonic() - began))
            await asyncio.sleep(_SAMPLE_S)

    looking = asyncio.create_task(look())
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(ask_on())
    record.seconds = time.monotonic() - began
    looking.cancel()
    await asyncio.gather(looking, return_exceptions=True)
    record.samples.append(sample(state, record.seconds))
    return record


def sample(state: ServerState, second: float) -> Sample:
    """Look at all processes of a server."""
    memory, files = {}, {}
    first = psutil.Process(state.pid)
    for process in (first, *first.children(recursive=True)):
        try:
            key = process.pid, process.name()
            memory[key], files[key] = process.memory_info().rss, process.num_fds()
        except psutil.NoSuchProcess:
            continue
    return Sample(second=second, memory=memory, files=files)


def growth(record: Record) -> float | None:
    """Return by which share all memory grew, from the second minute to the end; None where the run was shorter.

    Each end is the median of five samples.
    """
    totals = [sum(sample.memory.values()) for sample in record.samples if sample.second > _SETTLED_S]
    if len(totals) < 10:
        return None
    first, last = sorted(totals[:5])[2], sorted(totals[-5:])[2]
    return last / first - 1


def complaints(record: Record) -> list[str]:
    """Say what should not have been."""
    said = []
    if record.wrong:
        said.append(f"{record.wrong} wrong or missing answers")
    grown = growth(record)
    if grown is not None and grown > _MOST_GROWTH:
        said.append(f"memory grew by {grown:.1%}")
    processes = {frozenset(sample.memory) for sample in record.samples}
    if len(processes) > 1:
        said.append("processes were replaced")
    settled = [sample for sample in record.samples if sample.second > _SETTLED_S] or record.samples
    # The last look is taken when the clients' connections are closed.
    files = [sum(sample.files.values()) for sample in settled[:-1]]
    if files and files[-1] > files[0]:
        said.append(f"open files grew from {files[0]} to {files[-1]}")
    return said


def report(record: Record, judge: Judge) -> list[str]:
    """Tell what happened, a line each."""
    asked = record.statuses.total()
    statuses: Counter[int] = Counter()
    for (_, status), number in record.statuses.items():
        statuses[status] += number
    grown = growth(record)
    first, last = record.samples[0], record.samples[-1]
    lines = [
        f"{asked} requests in {record.seconds:.0f} s: {asked / record.seconds:,.0f} a second",
        f"statuses: {dict(sorted(statuses.items()))}",
        f"wrong or missing: {record.wrong}; identical to the file's own, byte for byte: {record.identical}",
        f"held {'bit for bit' if judge.exact else 'within the golden tolerance'}",
        f"memory from minute 2 on: {'too short a run' if grown is None else f'{grown:+.1%}'}",
    ]
    for key in last.memory:
        megabytes = [sample.memory.get(key, 0) / 1e6 for sample in record.samples]
        files = [sample.files.get(key, 0) for sample in record.samples]
        lines.append(
            f"{key[1]} ({key[0]}): {first.memory.get(key, 0) / 1e6:.0f} MB at first, {max(megabytes):.0f} at most, "
            f"{megabytes[-1]:.0f} at last; open files {files[0]}, {max(files)}, {files[-1]}"
        )
    return [*lines, *record.faults, *(f"not good: {said}" for said in complaints(record))]


if __name__ == "__main__":
    sys.exit(main())
