"""Requests a second and latencies of both servers, beside what people write themselves: `make bench-serving`.

    python -m benchmarks.serving ARCHIVE [--rounds 5] [--seconds 3]

All servers run at once, and are asked in turn in each round: whatever slows the machine slows all. Each has two
workers, and the load runs on the same cores. The peers (benchmarks/serving_peer.py behind uvicorn and behind granian)
run in an environment of their own, `benchmarks/.venv-serving`. Beside them our front runs without a model
(`benchmarks.front_alone`), so that its own cost is seen. The closed loop is wrk's; the open loop is
`benchmarks.serving_load`. A ratio is taken within a round; the median over rounds stands with its smallest and largest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks.serving_load import open_loop
from pipeline.archive.mar import Archive, read_archive
from pipeline.measure.host import cpu_model, usable_cores
from pipeline.serving.defaults import HOST, ServerName
from pipeline.serving.encoding import encode_png
from pipeline.serving.lifecycle import running_server
from pipeline.serving.ports import choose_port

WORKERS = 2
CONNECTIONS = (1, 16, 64)
SHARES = (0.3, 0.6, 0.9)
FRONT_ALONE = "ours, the front alone"
_FRONT = "pipeline.serving.torchserve.front_process"
_RAW = "application/octet-stream"
_ENVIRONMENT = Path(__file__).parent / ".venv-serving"
_CHECKOUT = Path(__file__).parents[1]
# wrk's own lines: the rate, and the median. The deviation's column ends in "50%" too.
_RATE, _MEDIAN, _BAD = (
    re.compile(r"Requests/sec:\s+([\d.]+)"),
    re.compile(r"^ +50%\s+([\d.]+)(us|ms|s)", re.MULTILINE),
    "Non-2xx",
)
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server that is measured.

    Args:
        name: its name in tables.
        port: its port on loopback.
        path: the path that predictions are posted to.
        pid: its first process.
        started_s: time from its start to the first answer, in seconds.
    """

    name: str
    port: int
    path: str
    pid: int
    started_s: float

    def processes(self) -> list[psutil.Process]:
        """All of its processes."""
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]


@contextmanager
def ours(archive: Archive, server: ServerName) -> Iterator[Target]:
    """Run one of our servers."""
    began = time.perf_counter()
    with running_server(archive, server=server, workers=WORKERS, model_checked=True) as state:
        took = time.perf_counter() - began
        path = f"/predictions/{archive.serving.name}"
        yield Target(name=f"ours, {server}", port=state.port, path=path, pid=state.pid, started_s=took)


@contextmanager
def peer(name: str, folder: Path, body: bytes) -> Iterator[Target]:
    """Run the application of twenty lines behind a server of that name."""
    port = choose_port(None)
    common = ["benchmarks.serving_peer:application", "--port", str(port), "--workers", str(WORKERS), "--loop", "uvloop"]
    arguments = {
        "uvicorn": ["--http", "httptools", "--no-access-log", "--log-level", "warning"],
        "granian": ["--interface", "asginl", "--no-ws", "--http", "1", "--no-log"],
    }[name]
    command = [str(_ENVIRONMENT / "bin" / name), *common, *arguments]
    environment = {"MODEL": str(folder), "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_CHECKOUT)}
    with _running(command, environment, f"http://{HOST}:{port}/", body) as (pid, took):
        yield Target(name=f"{name} + ONNX Runtime", port=port, path="/", pid=pid, started_s=took)


@contextmanager
def front_alone(archive: Archive, folder: Path, body: bytes) -> Iterator[Target]:
    """Run our front without a model behind it."""
    port, path = choose_port(None), f"/predictions/{archive.serving.name}"
    command = [sys.executable, "-m", "benchmarks.front_alone", str(folder), str(port), str(WORKERS)]
    with _running(command, {**os.environ, "OMP_NUM_THREADS": "1"}, f"http://{HOST}:{port}{path}", body) as (pid, took):
        yield Target(name=FRONT_ALONE, port=port, path=path, pid=pid, started_s=took)


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str], url: str, body: bytes
) -> Iterator[tuple[int, float]]:
    """Run a server; yield its process id, and the seconds until its first answer."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=_CHECKOUT, env=environment)
    try:
        while True:
            try:
                httpx.post(url, content=body, headers={"content-type": _RAW}).raise_for_status()
                break
            except httpx.HTTPError:
                if process.poll() is not None or time.perf_counter() - began > 60:
                    raise
                time.sleep(0.01)
        yield process.pid, time.perf_counter() - began
    finally:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        process.wait()


def closed_loop(target: Target, script: Path, connections: int, seconds: float) -> tuple[float, float]:
    """Run wrk; return requests a second, and the median latency in milliseconds."""
    url = f"http://127.0.0.1:{target.port}{target.path}"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate, median = _RATE.search(text), _MEDIAN.search(text)
    if rate is None or median is None or _BAD in text:
        raise RuntimeError(f"{target.name}: expected answers of status 200 only, found: {text}")
    return float(rate[1]), float(median[1]) * _UNITS[median[2]]


def lua(folder: Path, name: str, body: bytes, media: str) -> Path:
    """Write wrk's description of a request."""
    (folder / name).write_bytes(body)
    script = folder / f"{name}.lua"
    script.write_text(
        f'local file = io.open("{folder / name}", "rb"); wrk.body = file:read("*a"); file:close()\n'
        f'wrk.method = "POST"; wrk.headers["content-type"] = "{media}"\n'
    )
    return script


def table(rates: Mapping[tuple[str, str, int], list[tuple[float, float]]], targets: list[Target]) -> Iterator[str]:
    """Write rates and medians, each beside the better peer of the same round."""
    yield "| request, connections | server | requests/s | x better peer | median, ms | x better peer's |"
    yield "|---|---|---:|---:|---:|---:|"
    peers = [target.name for target in targets if not target.name.startswith("ours")]
    kinds = dict.fromkeys((kind, connections) for _, kind, connections in rates)
    for kind, connections in kinds:
        best = [
            (
                max(rates[name, kind, connections][row][0] for name in peers),
                min(rates[name, kind, connections][row][1] for name in peers),
            )
            for row in range(len(rates[peers[0], kind, connections]))
        ]
        for target in targets:
            rows = rates[target.name, kind, connections]
            over = [rate / other for (rate, _), (other, _) in zip(rows, best, strict=True)]
            slower = [median / other for (_, median), (_, other) in zip(rows, best, strict=True)]
            cells = [
                f"{kind}, {connections}",
                target.name,
                f"{statistics.median(rate for rate, _ in rows):,.0f}",
                spread(over),
                f"{statistics.median(median for _, median in rows):.2f}",
                spread(slower),
            ]
            yield f"| {' | '.join(cells)} |"


def spread(values: list[float]) -> str:
    """Write a median with the smallest and the largest value."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def costs(targets: list[Target], script: Path, seconds: float) -> Iterator[str]:
    """Write what each server takes: time to its first answer, memory, and processor time for a request.

    The front of TorchServe is a process of its own.
    """
    yield "\n| server | first answer after, s | memory, MB | processor time a request, µs | of it the front's |"
    yield "|---|---:|---:|---:|---:|"
    for target in targets:
        processes = target.processes()
        before = [sum(process.cpu_times()[:2]) for process in processes]
        rate, _ = closed_loop(target, script, 64, seconds)
        spent = [sum(process.cpu_times()[:2]) - earlier for process, earlier in zip(processes, before, strict=True)]
        each = 1e6 / (rate * seconds)
        fronts = [took for process, took in zip(processes, spent, strict=True) if _FRONT in process.cmdline()]
        memory = sum(process.memory_full_info().pss for process in processes) / 1e6
        front = f"{sum(fronts) * each:.0f}" if fronts else ""
        yield f"| {target.name} | {target.started_s:.1f} | {memory:.0f} | {sum(spent) * each:.0f} | {front} |"


def arrivals(targets: list[Target], request: Mapping[str, bytes], most: float, seconds: float) -> Iterator[str]:
    """Write latencies in an open loop, at shares of one rate, the same for all."""
    yield f"\nopen loop, raw; shares of {most:,.0f} a second, what the slowest of them answers in a closed loop"
    yield "\n| server | share | a second | median, ms | 99 %, ms | refused |"
    yield "|---|---:|---:|---:|---:|---:|"
    for share in SHARES:
        for target in targets:
            latencies, refused = open_loop(
                target.port, request[target.name], per_second=share * most, seconds=seconds, connections=256, seed=1
            )
            median, late = np.percentile(latencies, (50, 99)) * 1e3
            row = target.name, f"{share:.0%}", f"{share * most:,.0f}", f"{median:.2f}", f"{late:.2f}"
            yield f"| {' | '.join(row)} | {refused / (refused + len(latencies)):.1%} |"


def main() -> int:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, metavar="ARCHIVE", help="a .mar of one input that is a small picture")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.stderr.write("expected wrk on the path, found none; install it (Debian and Ubuntu: the package wrk)\n")
        return 2
    archive = read_archive(arguments.archive)
    [spec] = archive.serving.inputs
    picture = np.random.default_rng(0).integers(0, 256, spec.shape, dtype=np.uint8)
    raw, png = picture.tobytes(), encode_png(picture)
    host = f"{cpu_model()}, {usable_cores()} cores"
    print(f"{host}; {archive.serving.candidate}; {WORKERS} workers each, the load beside them")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        archive.unpack(folder / "model")
        scripts = {
            "raw": lua(folder, "raw", raw, _RAW),
            "PNG": lua(folder, "png", png, "image/png"),
        }
        targets = [
            stack.enter_context(ours(archive, "asgi")),
            stack.enter_context(ours(archive, "torchserve")),
            *(stack.enter_context(peer(name, folder / "model", raw)) for name in ("uvicorn", "granian")),
            stack.enter_context(front_alone(archive, folder / "model", raw)),
        ]
        rates: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
        for _ in range(arguments.rounds):
            for kind, script in scripts.items():
                for connections in CONNECTIONS:
                    for target in targets:
                        measured = closed_loop(target, script, connections, arguments.seconds)
                        rates.setdefault((target.name, kind, connections), []).append(measured)
        print("\n".join(table(rates, targets)))
        print("\n".join(costs(targets, scripts["raw"], arguments.seconds)), flush=True)
        whole = [target for target in targets if target.name != FRONT_ALONE]
        slowest = min(statistics.median(rate for rate, _ in rates[target.name, "raw", 64]) for target in whole)
        head = "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n"
        requests = {target.name: head.format(target.path, _RAW, len(raw)).encode() + raw for target in whole}
        print("\n".join(arrivals(whole, requests, slowest, arguments.seconds)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
