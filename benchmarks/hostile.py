"""What a good client notices of hostile ones: `python -m benchmarks.hostile ARCHIVE...`.

For each archive a server with one worker. A good client posts a golden input 20 times a second, first alone, then
beside one hostile request a second, for each kind of them, at last beside all of them in turn. What is asked: it keeps
99 % of its answers, its median is at most three times that of quiet, the worker grows by at most 64 MiB over a
picture's own pixels (8 bytes each), and is never replaced. The exit code is 1 where one of these is missed.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import statistics
import sys
import threading
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.hostile_requests import HostileRequest, hostile_requests
from pipeline._handlers.limits import usual_pixels
from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import read_archive
from pipeline.serving.address import endpoint_of
from pipeline.serving.check import encode_requests
from pipeline.serving.defaults import DEFAULT_SERVER
from pipeline.serving.lifecycle import running_server
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS

_GOOD_PER_S = 20.0
_TIMEOUT_S = 10.0
_LEAST_ANSWERED = 0.99
_MOST_TIMES_QUIET = 3.0
_MOST_GROWTH_MIB = 64.0
_BYTES_A_PIXEL = 8
# TorchServe's own server takes 2 s of Java for these before a worker sees any: they are shown, neither mixed nor
# counted.
_OPEN = "140,000 fields of a form"


@dataclass
class Outcomes:
    """The outcomes of one client's requests: seconds from when each was due to its end, and its status; 0 for none."""

    seconds: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def answered(self) -> float:
        """Share of the requests with status 200."""
        return self.statuses.count(200) / max(1, len(self.statuses))

    def median_ms(self) -> float:
        """Return the median over all requests, in milliseconds."""
        return statistics.median(self.seconds) * 1e3

    def p99_ms(self) -> float:
        """Return the 99th percentile over all requests, in milliseconds."""
        return sorted(self.seconds)[int(0.99 * (len(self.seconds) - 1))] * 1e3


def main() -> int:
    """Print a row for each kind of request.

    Returns:
        0, or 1 where a good client or the worker suffered, or 2 where nothing was chosen.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE", help=".mar files of one input each")
    parser.add_argument("--seconds", type=float, default=60, help="for each kind of request")
    parser.add_argument("--mixed-seconds", type=float, default=600, help="for all of them in turn; 0 leaves it out")
    parser.add_argument("--per-second", type=float, default=1, help="hostile requests")
    parser.add_argument("--only", default="", help="kinds with this text in their name")
    arguments = parser.parse_args()
    good = True
    for path in arguments.archives:
        archive = read_archive(path)
        arrays, _ = golden_answers(archive)
        form, bodies = next(iter(encode_requests(archive.serving.inputs, arrays).items()))
        good_request = HostileRequest(body=bodies[0], headers={"content-type": form})
        requests_by_kind = hostile_requests(archive.serving, SERVERS[DEFAULT_SERVER].wire())
        kinds = chosen_kinds(requests_by_kind, arguments.only, mixed=bool(arguments.mixed_seconds))
        if not kinds:
            named = ", ".join(requests_by_kind)
            print(f"--only: expected part of a kind's name ({named}), found {arguments.only!r}", file=sys.stderr)
            return 2
        limits = archive.serving.limits
        pixels = usual_pixels(archive.serving.inputs) if limits is None else limits.pixels
        picture = any(spec.decoding is not None for spec in archive.serving.inputs)
        own_mib = pixels * _BYTES_A_PIXEL / (1 << 20) if picture else 0.0
        with running_server(path) as state:
            _beside(state, good_request, [], seconds=5, per_second=1)
            quiet, _ = _beside(state, good_request, [], seconds=20, per_second=1)
            print(f"{path.name}: quiet: {quiet.answered:.2%} answered, median {quiet.median_ms():.1f} ms")
            for name, requests in kinds.items():
                seconds = arguments.mixed_seconds if len(requests) > 1 else arguments.seconds
                unhurt = _row(state, name, good_request, requests, quiet, seconds, arguments.per_second, own_mib)
                good &= unhurt or name == _OPEN
    return 0 if good else 1


def chosen_kinds(requests: Mapping[str, HostileRequest], only: str, *, mixed: bool) -> dict[str, list[HostileRequest]]:
    """Return the kinds of requests whose name holds a text.

    Args:
        requests: requests by kind.
        only: the text; it is empty for all.
        mixed: whether all of them in turn are one more kind, where they are several.
    """
    kinds = {name: [request] for name, request in requests.items() if only in name}
    several = [request for name, request in requests.items() if name in kinds and name != _OPEN]
    if mixed and len(several) > 1:
        kinds["all in turn"] = several
    return kinds


def _row(
    state: ServerState,
    name: str,
    good_request: HostileRequest,
    requests: Sequence[HostileRequest],
    quiet: Outcomes,
    seconds: float,
    per_second: float,
    own_mib: float,
) -> bool:
    """Print the row of one kind of request; return whether nobody suffered."""
    before = _worker(state)
    _forget_peak(before)
    memory = _peak_mib(before)
    good, hostile = _beside(state, good_request, requests, seconds=seconds, per_second=per_second)
    after = _worker(state)
    died = after.pid != before.pid
    growth = 0.0 if died else _peak_mib(after) - memory
    times = good.median_ms() / quiet.median_ms()
    decoded = 200 in hostile.statuses and any(
        request.headers["content-type"].startswith("image") or b"b64" in request.body for request in requests
    )
    allowed = _MOST_GROWTH_MIB + (own_mib if decoded else 0.0)
    suffered = [
        *["answers"] * (good.answered < _LEAST_ANSWERED),
        *["median"] * (times > _MOST_TIMES_QUIET),
        *["memory"] * (growth > allowed),
        *["worker died"] * died,
    ]
    kilobytes = max(len(request.body) for request in requests) / 1e3
    statuses = ", ".join(
        f"{hostile.statuses.count(status)} x {status or 'no answer'}" for status in sorted(set(hostile.statuses))
    )
    print(
        f"{name} ({kilobytes:,.0f} kB) | {statuses}; slowest {max(hostile.seconds):.2f} s | "
        f"{good.answered:.2%} of {len(good.statuses)} | median {good.median_ms():.1f} ms (x {times:.2f}), "
        f"p99 {good.p99_ms():.0f} ms | + {growth:.0f} MiB of {allowed:.0f} | {', '.join(suffered) or 'good'}",
        flush=True,
    )
    return not suffered


def _beside(
    state: ServerState,
    good_request: HostileRequest,
    requests: Sequence[HostileRequest],
    *,
    seconds: float,
    per_second: float,
) -> tuple[Outcomes, Outcomes]:
    """Return the outcomes of a good and a hostile client; each request is posted when it is due, answered or not."""
    good, hostile = Outcomes(), Outcomes()
    threads = [
        threading.Thread(target=_client, args=(state, [good_request], good, seconds, _GOOD_PER_S)),
        *[threading.Thread(target=_client, args=(state, requests, hostile, seconds, per_second))] * bool(requests),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return good, hostile


def _client(
    state: ServerState, requests: Sequence[HostileRequest], outcomes: Outcomes, seconds: float, per_second: float
) -> None:
    started = time.perf_counter()
    posted = []
    for number, request in zip(range(int(seconds * per_second)), itertools.cycle(requests), strict=False):
        due = started + number / per_second
        time.sleep(max(0.0, due - time.perf_counter()))
        posted.append(threading.Thread(target=_post, args=(state, request, outcomes, due)))
        posted[-1].start()
    for thread in posted:
        thread.join()


def _post(state: ServerState, request: HostileRequest, outcomes: Outcomes, due: float) -> None:
    address = urllib.parse.urlsplit(endpoint_of(state).url)
    connection = http.client.HTTPConnection(address.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", address.path, request.body, request.headers)
        response = connection.getresponse()
        response.read()
        status = response.status
    except (OSError, http.client.HTTPException):
        status = 0
    finally:
        connection.close()
    outcomes.seconds.append(time.perf_counter() - due)
    outcomes.statuses.append(status)


def _worker(state: ServerState) -> psutil.Process:
    """Return the worker's process, also where it was just started."""
    while True:
        for worker in SERVERS[state.server].workers(state):
            if worker.pid and psutil.pid_exists(worker.pid):
                return psutil.Process(worker.pid)
        time.sleep(0.2)


def _forget_peak(process: psutil.Process) -> None:
    """Let Linux forget the most memory that a process ever had."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5", encoding="ascii")


def _peak_mib(process: psutil.Process) -> float:
    """Return the most memory that a process has had since then, in MiB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
