"""Times what another tool's engine runs, by the same rules as our own files: `python -m benchmarks.worker JOB`."""

from __future__ import annotations

import importlib
from pathlib import Path

from safetensors.numpy import load_file

from benchmarks.engines import engine_mode, load_engine
from pipeline._handlers.decode import InputSpec
from pipeline.measure.worker import Call, Prepare, read_job, serve, take_batch


def main() -> None:
    """Time one contender."""
    job = read_job()
    importlib.import_module("openvino" if job["engine"].startswith("openvino") else "torch")
    spec = InputSpec.from_json(job["input"])

    def load() -> Prepare:
        prepare_batch, samples = load_engine(job["engine"], Path(job["file"])), load_file(job["samples"])

        def prepare(size: int) -> Call:
            return prepare_batch(take_batch(samples, [spec], size)[spec.name])

        return prepare

    with engine_mode(job["engine"]):
        serve(job, load)


if __name__ == "__main__":
    main()
