"""Measures the packed candidate over HTTP beside the same file without a server, in interleaved rounds."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.archive.golden_batch import golden_answers
from pipeline.archive.mar import Archive
from pipeline.commands.bench.result import Served
from pipeline.engine.stage import Reporter
from pipeline.errors import ServerError
from pipeline.measure.gain import estimate
from pipeline.measure.latency import TimingProcess, file_subject
from pipeline.measure.rounds import interleave
from pipeline.serving.address import endpoint_of
from pipeline.serving.check import encode_requests
from pipeline.serving.client import one_connection
from pipeline.serving.lifecycle import running_server

# Length of a block in seconds. It gives a hundred answers or so in each round, enough for a 99th percentile over all.
_BLOCK_S = 0.25
_WARM_UP_REQUESTS = 50


@dataclass(frozen=True, kw_only=True)
class _Requests:
    """The server as something that is timed: one request after the other.

    Args:
        ask: posts the next request and returns the seconds until it was answered.
        rounds_s: seconds of every request, one list per round.
    """

    ask: Callable[[], float]
    rounds_s: list[list[float]] = field(default_factory=list)
    name: str = "served"
    batch_sizes: tuple[int, ...] = (1,)

    def time(self, batch_size: int, block_s: float) -> float:
        """Return the median seconds per request over one block."""
        assert batch_size == 1
        seconds = [self.ask()]
        while sum(seconds) < block_s:
            seconds.append(self.ask())
        self.rounds_s.append(seconds)
        return statistics.median(seconds)


def measure_served(archive: Archive, *, rounds: int, timeout_s: float, reporter: Reporter) -> Served:
    """Start the default server on a free port, one worker, and ask it over one connection.

    Args:
        archive: archive to serve; its model file was looked through, or is that of the user's own build.
        rounds: number of interleaved rounds.
        timeout_s: longest wait for the server to be ready, in seconds.
        reporter: reporter that is told after each round.

    Raises:
        ServerError: it did not become ready, or refused a request.
    """
    import numpy as np

    from pipeline._handlers.request import MAX_BODY_BYTES

    serving = archive.serving
    arrays, _ = golden_answers(archive)
    encoded = encode_requests(serving.inputs, arrays)
    forms = {form: rows for form, rows in encoded.items() if max(map(len, rows)) <= MAX_BODY_BYTES}
    if not forms:
        raise ServerError(f"{archive.path}: expected inputs that fit into a request of {MAX_BODY_BYTES} bytes")
    form, bodies = next(iter(forms.items()))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        archive.unpack(folder)
        bare = file_subject(
            "bare",
            folder,
            serving.runtime,
            inputs=serving.inputs,
            samples=folder / serving.golden.file,
            batch_sizes=(1,),
        )
        with (
            running_server(archive, timeout_s=timeout_s, model_checked=True) as server,
            one_connection(endpoint_of(server).url, bodies, form) as ask,
            TimingProcess(bare) as process,
        ):
            process.load()
            for _ in range(_WARM_UP_REQUESTS):
                ask()
            requests = _Requests(ask=ask)
            timings = interleave(
                [process, requests],
                rounds=rounds,
                block_s=_BLOCK_S,
                progress=lambda finished: reporter.progress("served", finished, rounds),
            )
    seconds = [request_s for round_s in requests.rounds_s for request_s in round_s]
    per_round = estimate(timings["served"][0].rounds_s)
    return Served(
        candidate=serving.candidate,
        form=form,
        requests=len(seconds),
        p50_ms=per_round.scaled(1e3),
        p99_ms=float(np.quantile(seconds, 0.99)) * 1e3,
        per_second=len(seconds) / sum(seconds),
        bare_ms=estimate(timings["bare"][0].rounds_s).scaled(1e3),
    )
