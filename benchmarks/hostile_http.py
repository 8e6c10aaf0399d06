"""What a good client notices of malformed HTTP: `python -m benchmarks.hostile_http ARCHIVE --server asgi`.

A good client sends a right request 50 times a second, first alone, then beside malformed requests, then beside mutated
bodies, which another process sends at a steady rate. Printed are its latencies, from the moment when each request was
due, and what the hostile ones were answered. The exit code is 1 where the good client lost an answer, an answer was
none that may be, a worker was replaced, or the good client's p99 more than doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import uvloop

from benchmarks.barrage import Answers, send_malformed, send_mutated
from benchmarks.http_client import Client, LostError, post
from benchmarks.judge import Judge
from benchmarks.model_requests import RAW, require_one_picture
from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import read_archive
from pipeline.serving.defaults import DEFAULT_SERVER, ServerName
from pipeline.serving.lifecycle import running_server
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS

_GOOD_PER_S = 50.0
_QUIET_S = 20.0
_MOST_TIMES_QUIET = 2.0
_NICE = 5


@dataclass
class Latencies:
    """What a good client noticed.

    Args:
        seconds: from the moment when each request was due until its answer was there.
        lost: number of answers that were wrong, or none.
    """

    seconds: list[float] = field(default_factory=list)
    lost: int = 0

    def percentile_ms(self, share: float) -> float:
        """Return a percentile, in milliseconds."""
        ordered = sorted(self.seconds)
        return 1e3 * ordered[int(share * (len(ordered) - 1))]


def main() -> int:
    """Print a row alone, and one beside each kind of barrage.

    Returns:
        0, or 1 where the good client or a worker suffered.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, help=".mar file of a model of one picture")
    parser.add_argument("--server", choices=get_args(ServerName), default=DEFAULT_SERVER)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--malformed", type=int, default=10_000)
    parser.add_argument("--mutated", type=int, default=20_000)
    parser.add_argument("--per-second", type=float, default=200, help="hostile requests")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    archive = read_archive(arguments.archive)
    serving = archive.serving
    spec, path = require_one_picture(serving.inputs), f"/predictions/{serving.name}"
    picture = golden_answers(archive)[0][spec.name][0].tobytes()
    good = post(path, picture, [("content-type", RAW)])
    right = Judge(archive).expected(path, [("content-type", RAW)], picture).body
    rate, seed = arguments.per_second, arguments.seed
    spawned = multiprocessing.get_context("spawn")
    with (
        running_server(archive, server=arguments.server, workers=arguments.workers) as state,
        ProcessPoolExecutor(1, mp_context=spawned, initializer=os.nice, initargs=(_NICE,)) as pool,
    ):
        before = SERVERS[state.server].workers(state)
        pool.submit(time.time).result()  # the process is there
        _beside(state, good, right, pool.submit(time.sleep, 3.0))
        quiet = _beside(state, good, right, pool.submit(time.sleep, _QUIET_S))
        _tell("alone", quiet, quiet)
        malformed = pool.submit(
            send_malformed, state.port, path, picture, arguments.malformed, seed=seed, per_second=rate
        )
        unhurt = [_row("malformed requests", state, good, right, quiet, malformed)]
        mutated = pool.submit(send_mutated, state.port, archive, arguments.mutated, seed=seed, per_second=rate)
        unhurt.append(_row("mutated bodies", state, good, right, quiet, mutated))
        unhurt.append(SERVERS[state.server].workers(state) == before)
        print(f"workers: {'the same' if unhurt[-1] else 'replaced'}")
    return 0 if all(unhurt) else 1


def _row(name: str, state: ServerState, good: bytes, right: bytes, quiet: Latencies, barrage: Future[Answers]) -> bool:
    """Print what happened beside a barrage; return whether nobody suffered."""
    beside = _beside(state, good, right, barrage)
    answers = barrage.result()
    _tell(f"beside {name}", beside, quiet)
    print(f"  answered: {answers.by_status} (0: the connection just ended); faults: {len(answers.faults)}")
    for fault in answers.faults[:10]:
        print(f"  {fault}")
    slower = beside.percentile_ms(0.99) / quiet.percentile_ms(0.99)
    return not answers.faults and not beside.lost and slower <= _MOST_TIMES_QUIET


def _tell(name: str, latencies: Latencies, quiet: Latencies) -> None:
    p50, p99, p999 = (latencies.percentile_ms(share) for share in (0.5, 0.99, 0.999))
    print(
        f"{name}: {len(latencies.seconds)} right answers, {latencies.lost} lost; median {p50:.2f} ms, p99 {p99:.2f} ms "
        f"(x {p99 / quiet.percentile_ms(0.99):.2f}), p99.9 {p999:.2f} ms",
        flush=True,
    )


def _beside(state: ServerState, good: bytes, right: bytes, barrage: Future[Any]) -> Latencies:
    """Ask until a barrage is over."""
    return uvloop.run(_ask(state, good, right, barrage))


async def _ask(state: ServerState, good: bytes, right: bytes, barrage: Future[Any]) -> Latencies:
    latencies, client = Latencies(), Client(state.port)
    began, place = time.perf_counter(), 0
    while not barrage.done():
        due = began + place / _GOOD_PER_S
        place += 1
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        try:
            reply = await client.ask(good)
        except (OSError, TimeoutError, LostError):
            latencies.lost += 1
            continue
        latencies.seconds.append(time.perf_counter() - due)
        latencies.lost += reply.body != right
    client.close()
    return latencies


if __name__ == "__main__":
    sys.exit(main())
