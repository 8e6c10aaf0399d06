"""Measures what the nodes of ONNX files cost, and how far values inside two of them differ, in a confined process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline._handlers.runtimes import Optimization
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_environment, run_child
from pipeline.errors import ProofError
from pipeline.measure import layer_worker

# ONNX Runtime's profiler costs more than a small layer does, and reports whole microseconds: a batch makes layers long,
# and medians over many calls steady.
BATCH_SIZE, CALLS = 32, 300
# Longest time of the calls of one file, in seconds; a slow network has fewer calls.
_BUDGET_S = 2.0
_EXAMPLES = 32
# Values of all layers of a file lie in memory together.
_MOST_BYTES = 256 << 20
_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class MeasuredFile:
    """An ONNX file to measure.

    Args:
        path: path of the file; it can do no more than compute.
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        threads: number of threads that it is served with.
        optimization: level of the graph optimization that it is served with.
        fixed_batch: number of examples that it takes in each call; None where it takes any number.
    """

    path: Path
    data: Path
    threads: int = 1
    optimization: Optimization = "all"
    fixed_batch: int | None = None


@dataclass(frozen=True, kw_only=True)
class NodeTime:
    """A node of the graph that ONNX Runtime made of a file.

    Args:
        name: its name.
        operator: its operator.
        inputs: names of its inputs.
        outputs: names of its outputs.
        activation: activation that was fused into it; empty for none.
        microseconds: median time in a call, as the profiler reports it.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    microseconds: float
    activation: str = ""


@dataclass(frozen=True, kw_only=True)
class FileTimes:
    """What a file's calls cost.

    Args:
        batch_size: examples in a call.
        calls: number of calls, with and without the profiler each.
        call_us: median length of a call without the profiler, in microseconds.
        nodes: nodes in the order in which they run.
    """

    batch_size: int
    calls: int
    call_us: float
    nodes: tuple[NodeTime, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far two values differ.

    Args:
        largest: largest absolute difference; None where they cannot be compared.
        value: largest absolute value of the first.
        reason: why they cannot be compared.
    """

    largest: float | None = None
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class LayersMeasured:
    """What was found out about files.

    Args:
        times: costs of the calls of each file; empty where these are too slow to be timed here.
        seconds: time of one example in the slower file, in seconds.
        examples: number of examples that values were compared on.
        differences: a difference for each pair of values; empty where they could not be compared.
        problem: reason why they could not.
    """

    times: tuple[FileTimes, ...]
    seconds: float
    examples: int
    differences: tuple[Difference, ...]
    problem: str


def measure_layers(
    files: Sequence[MeasuredFile],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    bytes_per_example: int = 0,
    scratch: Path,
) -> LayersMeasured:
    """Time the nodes of one or two files, with calls of the same size, and compare values inside them.

    Values are those of runs without graph optimizations, which would fuse across them.

    Args:
        files: files to time.
        pairs: names of values to compare, in the first and in the second file, whose inputs have the same names.
        bytes_per_example: size of all these values for one example in the larger file, in bytes.
        scratch: existing folder for what the measuring process writes; it may write nowhere else where this system
            can enforce that.

    Raises:
        ProofError: a file cannot be run.
    """
    examples = max(1, min(_EXAMPLES, _MOST_BYTES // max(1, bytes_per_example)))
    found = _measure(files, pairs=pairs, examples=examples, scratch=scratch)
    return LayersMeasured(
        times=tuple(
            FileTimes(
                batch_size=times["batch_size"],
                calls=times["calls"],
                call_us=times["call_us"],
                nodes=tuple(
                    NodeTime(**{**node, "inputs": tuple(node["inputs"]), "outputs": tuple(node["outputs"])})
                    for node in times["nodes"]
                ),
            )
            for times in found["times"]
        ),
        seconds=found["seconds"],
        examples=found["examples"],
        differences=tuple(
            Difference(largest=pair.get("difference"), value=pair.get("largest"), reason=pair.get("reason", ""))
            for pair in found["differences"]
        ),
        problem=found["problem"],
    )


def _measure(
    files: Sequence[MeasuredFile],
    *,
    pairs: Sequence[tuple[str, str]],
    examples: int,
    scratch: Path,
) -> dict[str, Any]:
    folder = scratch.resolve()
    job, result = folder / "layers.json", folder / "found.json"
    result.unlink(missing_ok=True)
    document = {
        "files": [
            {
                "path": str(file.path.resolve()),
                "data": str(file.data.resolve()),
                "threads": file.threads,
                "optimization": file.optimization,
                "fixed_batch": file.fixed_batch,
            }
            for file in files
        ],
        "batch_size": BATCH_SIZE,
        "calls": CALLS,
        "budget_s": _BUDGET_S,
        "pairs": list(pairs),
        "examples": examples,
        "found": str(result),
    }
    job.write_text(json.dumps(document), encoding="utf-8")
    command = confined_command(layer_worker.__name__, str(job), writable=[folder])
    environment = module_environment(threads=max(file.threads for file in files))
    names = " and ".join(dict.fromkeys(file.path.name for file in files))
    try:
        process = run_child(command, environment=environment, cwd=folder, timeout_s=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"{names}: expected layers measured within {_TIMEOUT_S:g} s, found none") from error
    if process.returncode != 0:
        raise ProofError(f"{names} cannot be measured: {failure(process.returncode, process.stderr)}")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found
