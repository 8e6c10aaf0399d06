"""Replay inputs through a model file, in a process of its own: `python -m pipeline.replay.child JOB.json`.

It imports the code that serves (`handlers`), and of this package only what reads arrays from files. So the code that is
checked is the code that will answer, and an ONNX file is run without torch, as in the worker. `pipeline.replay.start`
writes the job and reads the answers.
"""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import Model, describe_cpu, describe_libraries, load_model, run_chunks
from pipeline.engine.array_files import read_arrays


def main(arguments: Sequence[str]) -> int:
    """Run one job.

    Args:
        arguments: path of the job, a JSON file with `folder`, `runtime`, `inputs`, `runs`, `answers` and `facts`.

    Returns:
        0, or 1 where something went wrong; the last line on standard error then says what it was.
    """
    job: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        _replay(job)
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises, it is this candidate's failure
        traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    return 0


def _answer(model: Model, batch: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """Answer a batch; of a mapped file it is copied, as libraries take only arrays that may be written to."""
    return model({name: np.require(array, requirements=["C", "W"]) for name, array in batch.items()})


def _replay(job: dict[str, Any]) -> None:
    runtime = RuntimeSpec.from_json(job["runtime"])
    inputs = [InputSpec.from_json(document) for document in job["inputs"]]
    model = load_model(Path(job["folder"]), runtime, inputs)
    answers: dict[str, NDArray[np.float32]] = {}
    for run in job["runs"]:
        stored = read_arrays(Path(run["data"]))
        arrays = {spec.name: stored[f"input.{spec.name}"] for spec in inputs}
        for call in range(run["calls"]):
            try:
                logits = run_chunks(partial(_answer, model), arrays, run["batch_size"])
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise RuntimeError(f"batch size {run['batch_size']}, run {run['name']}: {reason}") from error
            answers[f"{run['name']}.{call}"] = np.ascontiguousarray(logits)
    save_file(answers, job["answers"])
    facts = {
        "cpu": describe_cpu(),
        "libraries": describe_libraries(runtime),
        "torch_imported": "torch" in sys.modules,
    }
    Path(job["facts"]).write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
