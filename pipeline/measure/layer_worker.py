"""Time the nodes of ONNX files, and compare values inside them: `python -m pipeline.measure.layer_worker JOB.json`.

It runs as a program in a confined process. `pipeline.measure.layer_times` writes the job and reads what it found.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.onnx_runtime_import import import_onnx_runtime

_ENDING = "_kernel_time"
_WARM_UP_CALLS, _WARM_UP_S = 3, 0.3
_LEAST_CALLS = 3
# A slow network is timed on a smaller batch: its layers take long enough for the profiler even so. A very slow one is
# not timed, because nobody would wait for it.
_LONGEST_CALL_S, _TOO_LONG_S = 0.3, 1.5
# The profiler writes some 700 bytes for each node of each call.
_MOST_EVENTS = 30_000

Arrays = dict[str, NDArray[Any]]


def main(arguments: Sequence[str]) -> int:
    """Run one job.

    Args:
        arguments: path of the job, a JSON file with `files`, `batch_size`, `calls`, `budget_s`, `pairs` and `found`.

    Returns:
        0, or 1 where something went wrong; the last line on standard error then says what it was.
    """
    job: dict[str, Any] = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        found = _find(job)
    except Exception as error:  # noqa: BLE001 - whatever a runtime raises, it is this file's failure
        traceback.print_exc()
        sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
        return 1
    Path(job["found"]).write_text(json.dumps(found), encoding="utf-8")
    return 0


def _find(job: Mapping[str, Any]) -> dict[str, Any]:
    files = [(file, _inputs(Path(file["data"]))) for file in job["files"]]
    models = [_named(onnx.load(file["path"])) for file, _ in files]
    slowest = max(
        _seconds(_plain_call(model, file, _batch(file, inputs, 1))) / (file["fixed_batch"] or 1)
        for model, (file, inputs) in zip(models, files, strict=True)
    )
    found: dict[str, Any] = {"times": [], "seconds": slowest, "differences": [], "examples": 0, "problem": ""}
    if slowest <= _TOO_LONG_S:
        size = max(1, min(job["batch_size"], int(_LONGEST_CALL_S / slowest)))
        times: dict[str, dict[str, Any]] = {}
        for place, (model, (file, inputs)) in enumerate(zip(models, files, strict=True)):
            if file["path"] not in times:
                batch = _batch(file, inputs, size)
                timed = _time(model, file, batch, job=job, place=place)
                times[file["path"]] = timed | {"batch_size": file["fixed_batch"] or size}
        found["times"] = [times[file["path"]] for file, _ in files]
    if job["pairs"]:
        try:
            found["examples"], found["differences"] = _differences(models, files, job)
        except Exception as error:  # noqa: BLE001 - the times hold whatever a runtime raises here
            found["problem"] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return found


def _differences(
    models: Sequence[onnx.ModelProto], files: Sequence[tuple[Mapping[str, Any], Arrays]], job: Mapping[str, Any]
) -> tuple[int, list[dict[str, Any]]]:
    """The number of examples, and the difference of each pair of values on them."""
    [(first, inputs), (second, others)] = files
    fixed = [file["fixed_batch"] for file, _ in files if file["fixed_batch"]]
    examples = min(job["examples"], len(next(iter(inputs.values()))), *fixed)
    names = [list(dict.fromkeys(pair[side] for pair in job["pairs"])) for side in (0, 1)]
    before = _values(models[0], names[0], _batch(first, inputs, examples))
    after = _values(models[1], names[1], _batch(second, others, examples))
    return examples, [_difference(before[one], after[other]) for one, other in job["pairs"]]


def _inputs(data: Path) -> Arrays:
    return {name.removeprefix("input."): array for name, array in load_file(data).items() if name.startswith("input.")}


def _batch(file: Mapping[str, Any], inputs: Arrays, size: int) -> Arrays:
    """The first examples, repeated where there are fewer, and as many as the file takes where that is fixed."""
    size = file["fixed_batch"] or size
    return {name: np.ascontiguousarray(np.resize(array, (size, *array.shape[1:]))) for name, array in inputs.items()}


def node_names(graph: onnx.GraphProto) -> tuple[str, ...]:
    """A name for each node, no two the same: its own where it has one. The profiler tells nodes by their names."""
    taken: set[str] = set()
    names = []
    for place, node in enumerate(graph.node):
        own = node.name and node.name not in taken
        names.append(node.name if own else f"{node.name or node.op_type}_node_{place}")
        taken.add(names[-1])
    return tuple(names)


def _named(model: onnx.ModelProto) -> onnx.ModelProto:
    for node, name in zip(model.graph.node, node_names(model.graph), strict=True):
        node.name = name
    return model


def _session(model: onnx.ModelProto, *, threads: int, optimization: str, prefix: Path | None = None) -> Any:
    onnxruntime = import_onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimization == "all" else levels.ORT_DISABLE_ALL
    options.log_severity_level = 4  # it warns that an optimized graph is one of this processor, as is meant here
    if prefix is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(prefix)
        options.optimized_model_filepath = str(prefix.with_suffix(".onnx"))
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _plain_call(model: onnx.ModelProto, file: Mapping[str, Any], inputs: Arrays) -> Callable[[], object]:
    session = _session(model, threads=file["threads"], optimization=file["optimization"])
    return lambda: session.run(None, inputs)


def _seconds(call: Callable[[], object]) -> float:
    """The length of a call after it was warmed up."""
    lengths: list[float] = []
    while len(lengths) < _WARM_UP_CALLS and sum(lengths) < _WARM_UP_S:
        started = time.perf_counter()
        call()
        lengths.append(time.perf_counter() - started)
    return min(lengths)


def _time(
    model: onnx.ModelProto, file: Mapping[str, Any], inputs: Arrays, *, job: Mapping[str, Any], place: int
) -> dict[str, Any]:
    """Time calls with and without the profiler in turns, so that what else the machine does meets both."""
    prefix = Path(job["found"]).parent / f"profile-{place}"
    plain = _plain_call(model, file, inputs)
    profiled = _session(model, threads=file["threads"], optimization=file["optimization"], prefix=prefix)
    seconds = _seconds(plain)
    _seconds(lambda: profiled.run(None, inputs))
    optimized = onnx.load(prefix.with_suffix(".onnx"))
    within = int(job["budget_s"] / (2 * seconds))
    calls = max(_LEAST_CALLS, min(job["calls"], within, _MOST_EVENTS // len(optimized.graph.node)))
    lengths = []
    for _ in range(calls):
        started = time.perf_counter()
        plain()
        lengths.append(time.perf_counter() - started)
        profiled.run(None, inputs)
    lasted = _by_node(json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8")), calls)
    return {
        "calls": calls,
        "call_us": median(lengths) * 1e6,
        "nodes": [
            {
                "name": node.name,
                "operator": node.op_type,
                "inputs": list(node.input),
                "outputs": list(node.output),
                "activation": _activation(node),
                "microseconds": lasted.get(node.name, 0.0),
            }
            for node in optimized.graph.node
        ],
    }


def _activation(node: onnx.NodeProto) -> str:
    names = [attribute.s.decode() for attribute in node.attribute if attribute.name == "activation"]
    return names[0] if names else ""


def _by_node(events: Sequence[Mapping[str, Any]], calls: int) -> dict[str, float]:
    """Median time of each node in the last so many calls, in microseconds; earlier calls warmed up."""
    lengths: dict[str, list[int]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(_ENDING):
            lengths.setdefault(name.removesuffix(_ENDING), []).append(event["dur"])
    return {name: float(median(durations[-calls:])) for name, durations in lengths.items()}


def _values(model: onnx.ModelProto, names: Sequence[str], inputs: Arrays) -> Arrays:
    """Values inside a graph, without graph optimizations, which would fuse across them."""
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    own = {output.name for output in asked.graph.output}
    asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in own)
    session = _session(asked, threads=1, optimization="none")
    return dict(zip(names, session.run(list(names), inputs), strict=True))


def _difference(before: Any, after: Any) -> dict[str, Any]:
    """The largest difference of two values, and the largest value of the first; a reason where there is none."""
    one, other = np.asarray(before), np.asarray(after)
    if one.dtype.kind not in "fiub" or other.dtype.kind not in "fiub":
        return {"reason": "no numbers"}
    if one.shape != other.shape:
        return {"reason": "another shape"}
    if not one.size:
        return {"reason": "no values"}
    one, other = one.astype(np.float64), other.astype(np.float64)
    same = one == other  # an attention mask may hold infinity on purpose
    if not (np.isfinite(one) | same).all() or not (np.isfinite(other) | same).all():
        return {"reason": "values that are no numbers"}
    apart = np.where(same, 0.0, np.subtract(one, other, out=np.zeros_like(one), where=~same))
    largest = np.abs(one[np.isfinite(one)]).max(initial=0.0)
    return {"difference": float(np.abs(apart).max()), "largest": float(largest)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
