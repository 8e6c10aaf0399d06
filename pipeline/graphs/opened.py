"""Open a model file for a comparison: its layers, and what it is run on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

import numpy as np
import onnx
from numpy.typing import NDArray

from pipeline._handlers.runtimes import RUNTIMES, Optimization, RuntimeKind
from pipeline.engine.array_files import write_arrays
from pipeline.engine.artifacts import digest_bytes
from pipeline.errors import FileError
from pipeline.graphs.matching import MOST_LAYERS
from pipeline.inspection.layers import GraphLayer, graph_layers
from pipeline.inspection.model_file import inspect_model
from pipeline.measure.layer_times import BATCH_SIZE, MeasuredFile
from pipeline.model_code.require import require_safe_file

Arrays = Mapping[str, NDArray[Any]]

_SEED = 0
# Size of an axis, other than that of the batch, that a file leaves open.
_OPEN_AXIS = 16
_MOST_VALUES = 1 << 28
SCRIPT_TIMES = "TorchScript fuses and compiles while it runs, and no profiler tells which layer a kernel belongs to"
_SCRIPT_LAYERS = (
    "a frozen TorchScript file keeps no layers, and it was not run to see any, so that files are compared as wholes"
)


@dataclass(frozen=True, kw_only=True)
class GraphSource:
    """A model file as it was read.

    Args:
        label: name of the candidate, or of the file.
        name: name of the file, for messages.
        kind: library that runs it.
        content: its bytes.
        threads: number of threads that it is served with.
        optimization: level of the graph optimization that it is served with.
        examples: inputs (N, *shape) that came with it, by name; None where there are none.
    """

    label: str
    name: str
    kind: RuntimeKind
    content: bytes
    threads: int = 1
    optimization: Optimization = "all"
    examples: Arrays | None = None


@dataclass(frozen=True, kw_only=True)
class OpenedGraph:
    """A model file whose layers are known.

    Args:
        source: file as it was read.
        model: its graph; None for TorchScript.
        layers: its layers, from the input down.
        inputs: shape and dtype of one example by input; empty where they are unknown.
        refusal: reason why it may not be run; empty where it can do no more than compute.
        note: what is missing of its layers.
    """

    source: GraphSource
    model: onnx.ModelProto | None
    layers: tuple[GraphLayer, ...]
    inputs: Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]
    refusal: str = ""
    note: str = ""

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        return digest_bytes(self.source.content)


def open_graph(source: GraphSource) -> OpenedGraph:
    """Read a file's layers; nothing of it is loaded or run.

    Raises:
        FileError: it is damaged or of another kind, or has too many layers.
    """
    inspect_model(source.kind, source.name, source.content)
    try:
        require_safe_file(source.name, source.kind, source.content)
        refusal = ""
    except FileError as error:
        refusal = str(error)
    match source.kind:
        case "onnxruntime":
            model = onnx.load_model_from_string(source.content)
            return OpenedGraph(
                source=source, model=model, layers=_layers(source, model), inputs=_inputs(model), refusal=refusal
            )
        case "torchscript":
            return OpenedGraph(source=source, model=None, layers=(), inputs={}, refusal=refusal, note=_SCRIPT_LAYERS)
        case unreachable:
            assert_never(unreachable)


def _layers(source: GraphSource, model: onnx.ModelProto) -> tuple[GraphLayer, ...]:
    try:
        layers = graph_layers(model)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileError(f"{source.name}: expected an ONNX graph of layers, found: {reason[:300]}") from error
    if len(layers) > MOST_LAYERS:
        raise FileError(f"{source.name}: expected at most {MOST_LAYERS:,} layers to compare, found {len(layers):,}")
    return layers


def _inputs(model: onnx.ModelProto) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        if value.name in weights:
            continue
        try:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        except KeyError:
            return {}
        if not kind.shape.dim or dtype.kind not in "fiub":
            return {}
        sizes = (axis.dim_value if axis.dim_value > 0 else _OPEN_AXIS for axis in kind.shape.dim[1:])
        inputs[value.name] = (tuple(sizes), dtype)
    return inputs


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """The number of examples that a file takes in each call; None where it takes any number."""
    weights = {tensor.name for tensor in model.graph.initializer}
    first = next((value for value in model.graph.input if value.name not in weights), None)
    axes = [] if first is None else first.type.tensor_type.shape.dim
    return axes[0].dim_value if axes and axes[0].dim_value > 0 else None


def fitting(graph: OpenedGraph, examples: Arrays | None) -> bool:
    """Whether examples are inputs of a file."""
    if examples is None or set(examples) != set(graph.inputs):
        return False
    return all(
        array.dtype == graph.inputs[name][1] and len(array) > 0 and array.ndim == len(graph.inputs[name][0]) + 1
        for name, array in examples.items()
    )


def made_up(graph: OpenedGraph) -> Arrays | None:
    """Noise for a file's inputs, the same for inputs of the same name; None where its inputs are unknown."""
    arrays = {}
    for name, (shape, dtype) in graph.inputs.items():
        full = (BATCH_SIZE, *shape)
        if np.prod(full, dtype=np.float64) > _MOST_VALUES:
            return None
        generator = np.random.default_rng(_SEED)
        if dtype.kind == "f":
            arrays[name] = generator.standard_normal(full).astype(dtype)
        else:  # bytes of a picture, flags, or numbers of words, of which any list has the first two
            arrays[name] = generator.integers(0, 256 if dtype == np.uint8 else 2, full).astype(dtype)
    return arrays or None


def measured_file(graph: OpenedGraph, examples: Arrays, folder: Path) -> MeasuredFile:
    """Write what was checked into a folder, and say how it is measured.

    Args:
        graph: ONNX file that can do no more than compute.
        examples: its inputs (N, *shape) by name.
        folder: existing folder.
    """
    assert graph.model is not None
    path = folder / f"model{RUNTIMES[graph.source.kind].ending}"
    path.write_bytes(graph.source.content)
    data = folder / "inputs.safetensors"
    write_arrays(data, {f"input.{name}": np.ascontiguousarray(array) for name, array in examples.items()})
    return MeasuredFile(
        path=path,
        data=data,
        threads=graph.source.threads,
        optimization=graph.source.optimization,
        fixed_batch=fixed_batch(graph.model),
    )
