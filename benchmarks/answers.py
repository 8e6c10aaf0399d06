"""Answers of what another tool's engine runs, on whole splits: `python -m benchmarks.answers JOB`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from benchmarks.engines import PrepareBatch, engine_mode, load_engine

# Batch size, one of the sizes that are timed, so that nothing is compiled for this alone.
_BATCH = 32


def main() -> None:
    """Answer each split that the job names, in its order."""
    job: dict[str, Any] = json.loads(sys.argv[1])
    with engine_mode(job["engine"]):
        prepare = load_engine(job["engine"], Path(job["file"]))
        answers = {
            split: _answer(prepare, load_file(path)[f"input.{job['input_name']}"])
            for split, path in job["data"].items()
        }
    save_file(answers, job["answers"])


def _answer(prepare: PrepareBatch, images_NCHW: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits (N, K), from full batches only; the last batch is filled up."""
    held = np.ascontiguousarray(images_NCHW[:_BATCH])
    answer = prepare(held)
    logits = []
    for start in range(0, len(images_NCHW), _BATCH):
        chunk = images_NCHW[start : start + _BATCH]
        held[: len(chunk)] = chunk
        logits.append(np.array(answer(), dtype=np.float32)[: len(chunk)])
    return np.concatenate(logits)


if __name__ == "__main__":
    main()
