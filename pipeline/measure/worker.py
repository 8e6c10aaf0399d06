"""Time one subject in a process of its own; as a program, a model file: `python -m pipeline.measure.worker JOB`.

The process reads one JSON request a line and answers each with one JSON line. Between requests it waits on its standard
input, so that it takes nothing from the subject whose turn it is.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import import_library, load_model, run_chunks
from pipeline.engine.process import reserve_stdout

# TorchScript compiles on its first three calls; a large network needs few further calls.
_WARM_UP_CALLS, _LEAST_WARM_UP_CALLS, _WARM_UP_S = 20, 4, 0.5
# This share of a block runs before the block and is not counted: it clears the caches of what earlier subjects left.
_UNCOUNTED = 0.1

Call = Callable[[], object]
Prepare = Callable[[int], Call]


def main() -> None:
    """Time a model file as it is served."""
    job = read_job()
    specs = [InputSpec.from_json(document) for document in job["inputs"]]
    runtime = RuntimeSpec.from_json(job["runtime"])
    import_library(runtime.kind)

    def load() -> Prepare:
        model = load_model(Path(job["folder"]), runtime, specs)
        samples = load_file(job["samples"])

        def prepare(size: int) -> Call:
            batch = take_batch(samples, specs, size)
            if runtime.one_by_one:  # it is served one by one where answers would depend on the batch
                return lambda: run_chunks(model, batch, 1)
            return lambda: model(batch)

        return prepare

    serve(job, load)


def read_job() -> dict[str, Any]:
    """Read from the command line what this process is to time."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    return job


def take_batch(samples: Mapping[str, NDArray[Any]], specs: list[InputSpec], size: int) -> dict[str, NDArray[Any]]:
    """The first `size` samples by input name, repeated where there are fewer, in the sizes that they have."""
    values = {spec.name: samples[f"input.{spec.name}"] for spec in specs}
    return {name: np.ascontiguousarray(np.resize(array, (size, *array.shape[1:]))) for name, array in values.items()}


def serve(job: Mapping[str, Any], load: Callable[[], Prepare]) -> None:
    """Serve requests until standard input closes.

    Args:
        job: job, as `read_job` returns it.
        load: function that loads the subject, whose library is imported before. It returns a function that prepares a
            call at a batch size, with the inputs allocated.
    """
    with reserve_stdout() as answers:  # so whatever a user's factory prints is no answer

        def answer(document: Mapping[str, float]) -> None:
            answers.write(json.dumps(document) + "\n")
            answers.flush()

        answer({})  # all processes import at the same time, but each loads and runs only in its turn
        sys.stdin.readline()
        if job["cores"] is not None:
            os.sched_setaffinity(0, job["cores"])
        sizes = sorted(job["batch_sizes"])
        started = time.perf_counter()
        prepare = load()
        calls = {sizes[0]: prepare(sizes[0])}
        calls[sizes[0]]()
        load_s = time.perf_counter() - started
        calls |= {size: prepare(size) for size in sizes[1:]}
        for call in calls.values():
            _warm_up(call)
        gc.collect()
        gc.disable()  # a collection would fall into some blocks and not into others
        answer({"load_s": load_s})
        for line in sys.stdin:
            request = json.loads(line)
            seconds = _time_block(calls[request["batch_size"]], request["block_s"])
            answer({"seconds": seconds, "peak_bytes": _peak_bytes()})


def _warm_up(call: Call) -> None:
    started = time.perf_counter()
    for count in range(_WARM_UP_CALLS):
        if count >= _LEAST_WARM_UP_CALLS and time.perf_counter() - started > _WARM_UP_S:
            break
        call()


def _time_block(call: Call, block_s: float) -> float:
    """The seconds per call over a block of at least `block_s` seconds, after a short block that is not counted."""
    _block(call, block_s * _UNCOUNTED)
    return _block(call, block_s)


def _block(call: Call, block_s: float) -> float:
    calls = 0
    started = time.perf_counter()
    while True:
        call()
        calls += 1
        elapsed = time.perf_counter() - started
        if elapsed >= block_s:
            return elapsed / calls


def _peak_bytes() -> int:
    """The most memory this process held. Linux's `ru_maxrss` is no use: it starts with that of the parent process."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return int(psutil.Process().memory_info().rss)
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


if __name__ == "__main__":
    main()
