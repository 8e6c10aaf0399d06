"""What a benchmark found, and what may be claimed from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipeline.measure.gain import Estimate, Ratio, estimate, speed_up
from pipeline.measure.rounds import Timing

Role = Literal["candidate", "eager", "copy"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row at one number of threads and one batch size.

    Args:
        threads: number of threads of the runtime, on as many cores.
        timing: seconds per call, by round.
        over_eager: how many times faster than eager; None where there is none, and for eager itself.
        over_float: how many times faster than the float file in ONNX Runtime; None in the same cases.
        share: share of the rate of a matrix product in the same rounds; None where multiply-accumulates are unknown.
        layout: the memory format of eager that was the faster one.
    """

    threads: int
    timing: Timing
    over_eager: Ratio | None
    over_float: Ratio | None
    share: Estimate | None
    layout: str | None = None

    @property
    def latency(self) -> Estimate:
        """Latency in milliseconds per call."""
        return estimate(self.timing.rounds_s).scaled(1e3)

    def to_json(self, noise: Ratio) -> dict[str, Any]:
        """Return the figure as JSON values; `noise`, the float file over its own copy, says what may be claimed."""
        return {
            "threads": self.threads,
            "batch_size": self.timing.batch_size,
            "latency_ms": asdict(self.latency),
            "rounds_ms": self.timing.to_json()["rounds_ms"],
            "over_eager": self.over_eager and self.over_eager.to_json(noise),
            "over_float": self.over_float and self.over_float.to_json(noise),
            "share_of_matrix_product": self.share and asdict(self.share),
            "layout": self.layout,
        }


@dataclass(frozen=True, kw_only=True)
class BenchRow:
    """The row of something that was timed.

    Args:
        name: name of the candidate.
        role: a candidate, eager, or the copy of the float file that shows the noise of the run.
        sha256: SHA-256 of its file; for eager, of the weights.
        size: size of that file, in bytes.
        compressed: size of that file after DEFLATE, in bytes.
        load_ms: time from the file to the first answer, in milliseconds, the library being imported already. It is
            measured once, with one thread or the least.
        peak_bytes: the most memory that its process held, in bytes, at the same number of threads.
        macs: multiply-accumulates for one example; None if unknown.
        one_by_one: whether a batch is run one example at a time, as it is served.
        figures: figures by threads, then batch size.
    """

    name: str
    role: Role
    sha256: str
    size: int
    compressed: int
    load_ms: float
    peak_bytes: int
    macs: int | None
    one_by_one: bool
    figures: tuple[Figure, ...]

    def figure(self, threads: int, batch_size: int) -> Figure:
        """Return the figure at a number of threads and a batch size."""
        return next(
            figure for figure in self.figures if (figure.threads, figure.timing.batch_size) == (threads, batch_size)
        )


@dataclass(frozen=True, kw_only=True)
class Served:
    """The packed candidate over HTTP, and bare in the same rounds.

    Args:
        candidate: name of the candidate that is packed.
        form: content type of the requests, one example each.
        requests: number of requests that were answered.
        p50_ms: median over rounds of the median answer time in each, in milliseconds.
        p99_ms: 99th percentile over all answers, in milliseconds.
        per_second: answers per second, with one connection, one worker, one request at a time.
        bare_ms: time of the same file without a server, at batch size 1, in milliseconds.
    """

    candidate: str
    form: str
    requests: int
    p50_ms: Estimate
    p99_ms: float
    per_second: float
    bare_ms: Estimate

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A whole benchmark.

    Args:
        target: the run directory or archive.
        host: what it was measured on, when and with which versions.
        rounds: interleaved rounds.
        block_ms: length of a timed block, in milliseconds.
        threads: numbers of threads.
        batch_sizes: examples per call.
        rows: rows of eager first, then of the candidates in the recipe's order, then of the copy.
        selected: name of the packed candidate; None where a run has none yet.
        baseline: name of the file that ratios are over and that was copied.
        noise: ratio of that file over its own copy, by threads and batch size.
        gflops: rate of a float32 matrix product, in 10^9 operations a second, by threads.
        left_out: what is not there, and why.
        served: figures over HTTP.
    """

    target: str
    host: Mapping[str, Any]
    rounds: int
    block_ms: float
    threads: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    rows: tuple[BenchRow, ...]
    selected: str | None
    baseline: str
    noise: Mapping[tuple[int, int], Ratio]
    gflops: Mapping[int, Estimate]
    left_out: Mapping[str, str]
    served: Served | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {
            "target": self.target,
            "host": dict(self.host),
            "rounds": self.rounds,
            "block_ms": self.block_ms,
            "threads": list(self.threads),
            "batch_sizes": list(self.batch_sizes),
            "selected": self.selected,
            "baseline": self.baseline,
            "matrix_product_gflops": {str(threads): asdict(rate) for threads, rate in self.gflops.items()},
            "noise": [
                {"threads": threads, "batch_size": size, **asdict(ratio), "quiet": ratio.claim() == "none"}
                for (threads, size), ratio in self.noise.items()
            ],
            "rows": [
                {
                    **{name: getattr(row, name) for name in _PLAIN},
                    "selected": row.role == "candidate" and row.name == self.selected,
                    "figures": [
                        figure.to_json(self.noise[figure.threads, figure.timing.batch_size]) for figure in row.figures
                    ],
                }
                for row in self.rows
            ],
            "left_out": dict(self.left_out),
            "served": self.served and self.served.to_json(),
        }


_PLAIN = ("name", "role", "sha256", "size", "compressed", "load_ms", "peak_bytes", "macs", "one_by_one")


def share_of(macs: int | None, timing: Timing, *, product: Timing, product_macs: int) -> Estimate | None:
    """Return how much of the rate of a matrix product a candidate reaches, over paired rounds.

    Args:
        macs: the candidate's multiply-accumulates for one example.
        timing: timing of the candidate.
        product: timing of the matrix product, in the same rounds.
        product_macs: multiply-accumulates of the matrix product, for one call.

    Returns:
        A share, which is 1 for the very rate; None where the multiply-accumulates are unknown.
    """
    if macs is None:
        return None
    faster = speed_up(product.rounds_s, timing.rounds_s)
    return faster.scaled(macs * timing.batch_size / product_macs)


def product_rate(product: Timing, product_macs: int) -> Estimate:
    """Return the rate in 10^9 operations a second, two per multiply-accumulate."""
    return estimate([2 * product_macs / seconds / 1e9 for seconds in product.rounds_s])


def paired(baseline: Sequence[float], rounds_s: Sequence[float], *, same: bool) -> Ratio | None:
    """Return the ratio over a baseline; None for the baseline over itself."""
    return None if same else speed_up(baseline, rounds_s)
