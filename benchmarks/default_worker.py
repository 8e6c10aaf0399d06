"""Times an ONNX file in a session with ONNX Runtime's own defaults: `python -m benchmarks.default_worker JOB`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.measure.worker import Call, Prepare, read_job, serve, take_batch


def main() -> None:
    """Time one file."""
    job = read_job()
    import_onnx_runtime()
    specs = [InputSpec.from_json(document) for document in job["inputs"]]

    def load() -> Prepare:
        session = default_session(job["file"])
        samples = load_file(job["samples"])

        def prepare(size: int) -> Call:
            batch = take_batch(samples, specs, size)
            return lambda: session.run(None, batch)

        return prepare

    serve(job, load)


def default_session(file: str) -> Any:
    """Start a session of one thread, otherwise with the runtime's defaults."""
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def default_answers(file: str, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Return what such a session answers.

    Args:
        file: path of the ONNX file.
        batch: raw inputs (B, *shape) by name.

    Returns:
        Logits (B, K).
    """
    logits: NDArray[np.float32] = default_session(file).run(None, batch)[0]
    return logits


if __name__ == "__main__":
    main()
