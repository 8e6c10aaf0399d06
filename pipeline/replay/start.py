"""Start a replay in a new process, confined where this system can, and read what it answered."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import load_file

import pipeline
import pipeline.replay.child
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_environment, run_child
from pipeline.errors import DataError, ProofError


@dataclass(frozen=True, kw_only=True)
class Run:
    """Inputs to replay.

    Args:
        name: of its answers.
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        batch_size: examples per call of the model.
        calls: how often the whole file is replayed.
    """

    name: str
    data: Path
    batch_size: int
    calls: int = 1


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """What a replay answered.

    Args:
        answers: logits (N, K) by name of the run and number of the call, from 0.
        cpu: the processor and the instruction sets that decide how sums are rounded.
        libraries: versions of what computed the answers.
        torch_imported: whether that process imported torch.
    """

    answers: Mapping[tuple[str, int], NDArray[Any]]
    cpu: str
    libraries: str
    torch_imported: bool


def replay(
    *,
    file: Path,
    runtime: RuntimeSpec,
    inputs: Sequence[InputSpec],
    runs: Sequence[Run],
    scratch: Path,
    timeout_s: float | None = None,
) -> Replayed:
    """Answer inputs with a model file as it is served, in a new process.

    Args:
        file: the model file.
        runtime: how it is run; its `file` is replaced by the name of `file`.
        inputs: in the order the model takes them.
        runs: what to answer, in order, in one process.
        scratch: folder for files that pass between the processes; they are gone afterwards.
        timeout_s: how long it may take, in seconds; for ever if None.

    Raises:
        ProofError: the process failed: the file cannot be loaded, cannot answer such a batch, or not in that time.
    """
    with tempfile.TemporaryDirectory(prefix="replay-", dir=scratch) as name:
        folder = Path(name).resolve()
        answers, facts, job = folder / "answers.safetensors", folder / "facts.json", folder / "job.json"
        document = {
            "folder": str(file.resolve().parent),
            "runtime": replace(runtime, file=file.name).to_json(),
            "inputs": [one.to_json() for one in inputs],
            "runs": [
                {"name": run.name, "data": str(run.data.resolve()), "batch_size": run.batch_size, "calls": run.calls}
                for run in runs
            ],
            "answers": str(answers),
            "facts": str(facts),
        }
        job.write_text(json.dumps(document), encoding="utf-8")
        command = confined_command(pipeline.replay.child.__name__, str(job), writable=[folder])
        environment = module_environment(threads=runtime.threads)
        try:
            done = run_child(command, environment=environment, cwd=folder, timeout_s=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise ProofError(f"{file.name}: expected answers within {timeout_s:g} s, found none") from error
        if done.returncode != 0:
            raise ProofError(
                f"{file.name} cannot be replayed ({runtime.kind}): {failure(done.returncode, done.stderr)}"
            )
        learned = json.loads(facts.read_text(encoding="utf-8"))
        found = load_file(answers)
    return Replayed(
        answers={(run.name, call): found[f"{run.name}.{call}"] for run in runs for call in range(run.calls)}, **learned
    )


def require_examples(data: Path, inputs: Sequence[InputSpec]) -> None:
    """Stop where there is nothing to replay: no examples prove nothing.

    Args:
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        inputs: of the model.

    Raises:
        DataError: an input is missing, or there are no examples.
    """
    with safe_open(data, framework="numpy") as stored:
        names = set(stored.keys())
        for one in inputs:
            if f"input.{one.name}" not in names:
                held = ", ".join(sorted(names)) or "nothing"
                raise DataError(f"{data.name}: expected input {one.name}, found {held}")
            count = stored.get_slice(f"input.{one.name}").get_shape()[0]
            if not count:
                raise DataError(f"{data.name}: expected at least 1 example of input {one.name}, found none")
