"""Times one candidate, in a process of its own: `python -m pipeline.measure.worker JOB`.

Reads one JSON request a line, answers one JSON line. Between requests it waits on its standard
input, so that it takes nothing from the candidate whose turn it is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from handlers.decode import InputSpec
from handlers.runtime import Model, load_model, run_chunks
from handlers.serving import RuntimeSpec

_WARM_UP_CALLS = 20


def main() -> None:
    """Serve requests until standard input closes."""
    job = json.loads(sys.argv[1])
    if job["core"] is not None:
        os.sched_setaffinity(0, {job["core"]})
    specs = [InputSpec.from_json(one) for one in job["inputs"]]
    runtime = RuntimeSpec.from_json(job["runtime"])
    loaded = load_model(Path(job["folder"]), runtime, specs)

    def model(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """As it is served: one example at a time where answers would depend on the batch."""
        return run_chunks(loaded, inputs, 1) if runtime.one_by_one else loaded(inputs)

    samples = load_file(job["samples"])
    batches = {size: _batch(samples, specs, size) for size in job["batch_sizes"]}
    for batch in batches.values():
        for _ in range(_WARM_UP_CALLS):
            model(batch)
    _answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        _answer({"seconds": _time_block(model, batches[request["batch_size"]], request["block_s"])})


def _batch(samples: Mapping[str, NDArray[Any]], specs: list[InputSpec], size: int) -> dict[str, NDArray[Any]]:
    """The first `size` samples, repeated where there are fewer."""
    return {
        spec.name: np.ascontiguousarray(np.resize(samples[f"input.{spec.name}"], (size, *spec.shape))) for spec in specs
    }


def _time_block(model: Model, batch: dict[str, NDArray[Any]], block_s: float) -> float:
    """Seconds per call over a block of calls at least `block_s` long, after one that is not counted."""
    model(batch)
    calls = 0
    started = time.perf_counter()
    while True:
        model(batch)
        calls += 1
        elapsed = time.perf_counter() - started
        if elapsed >= block_s:
            return elapsed / calls


def _answer(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
