"""Find the layers of a TorchScript file: a frozen one has lost its modules, so that it runs once and is recorded."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.checks.locate.align import align
from pipeline.engine.array_files import write_arrays
from pipeline.engine.confine import confined_command
from pipeline.engine.process import failure, module_environment, run_child
from pipeline.errors import ProofError
from pipeline.graphs import script_worker
from pipeline.graphs.opened import Arrays, OpenedGraph
from pipeline.inspection.graph_runs import family
from pipeline.inspection.layers import GraphLayer

_TIMEOUT_S = 120.0
_UNNAMED = "a frozen TorchScript file keeps no names, so that its operators were recorded and matched in order"
# Operators of torch under the names that ONNX has for them, so that files of both formats can be compared.
_OPERATORS = {
    "_convolution": "Conv",
    "_softmax": "Softmax",
    "_to_copy": "Cast",
    "_unsafe_view": "Reshape",
    "adaptive_avg_pool2d": "ReduceMean",
    "add": "Add",
    "addmm": "Gemm",
    "avg_pool2d": "AveragePool",
    "batch_norm": "BatchNormalization",
    "bmm": "MatMul",
    "cat": "Concat",
    "clamp": "Clip",
    "conv1d": "Conv",
    "conv2d": "Conv",
    "conv3d": "Conv",
    "convolution": "Conv",
    "div": "Div",
    "flatten": "Reshape",
    "gelu": "Gelu",
    "hardtanh": "Clip",
    "layer_norm": "LayerNormalization",
    "linear": "Gemm",
    "matmul": "MatMul",
    "max_pool2d": "MaxPool",
    "max_pool2d_with_indices": "MaxPool",
    "mean": "ReduceMean",
    "mkldnn_convolution": "Conv",
    "mm": "Gemm",
    "mul": "Mul",
    "native_batch_norm": "BatchNormalization",
    "native_layer_norm": "LayerNormalization",
    "permute": "Transpose",
    "quantized.conv2d": "QLinearConv",
    "quantized.conv2d_relu": "QLinearConv",
    "quantized.linear": "QLinearMatMul",
    "quantized.linear_dynamic": "MatMulInteger",
    "quantized.linear_relu_dynamic": "MatMulInteger",
    "relu": "Relu",
    "relu6": "Clip",
    "reshape": "Reshape",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "sub": "Sub",
    "tanh": "Tanh",
    "to": "Cast",
    "transpose": "Transpose",
    "view": "Reshape",
}
_FORMATS = {
    "float32": "fp32",
    "float64": "fp64",
    "float16": "fp16",
    "bfloat16": "bf16",
    "qint8": "int8",
    "quint8": "int8",
}
_CONVOLUTIONS = ("Conv", "QLinearConv")
_PRODUCTS = ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")
_NORMS = ("BatchNormalization", "LayerNormalization")


def recorded(graph: OpenedGraph, like: Sequence[GraphLayer], examples: Arrays | None, scratch: Path) -> OpenedGraph:
    """Find the layers of a TorchScript file; a file of another kind stays as it is.

    Args:
        graph: file that was opened.
        like: layers of the other file, whose names are taken where it has any.
        examples: inputs (N, *shape) by name; None where nobody knows any.
        scratch: existing folder for what is written meanwhile.

    Returns:
        The file with its layers, or with a note that says why it has none.
    """
    if graph.model is not None or graph.refusal:
        return graph
    if examples is None:
        return replace(graph, note=f"{graph.note}: nobody knows inputs for it")
    path, data = scratch / "model.pt", scratch / "example.safetensors"
    path.write_bytes(graph.source.content)
    first = {name: np.ascontiguousarray(array[:1]) for name, array in examples.items()}
    write_arrays(data, {f"input.{name}": array for name, array in first.items()})
    try:
        layers = _script_layers(path, data, scratch=scratch)
    except ProofError as error:
        return replace(graph, note=str(error))
    return replace(graph, layers=named_like(layers, like), note=_UNNAMED)


def _script_layers(path: Path, data: Path, *, scratch: Path) -> tuple[GraphLayer, ...]:
    """Run a TorchScript file on one example in a confined process, and record its operators as layers.

    Args:
        path: path of the file; it can do no more than compute.
        data: safetensors file with `input.<name>` (N, *shape) for each input.
        scratch: existing folder for what that process writes.

    Raises:
        ProofError: it cannot be run.
    """
    folder = scratch.resolve()
    job, found = folder / "script.json", folder / "recorded.json"
    document = {"path": str(path.resolve()), "data": str(data.resolve()), "found": str(found)}
    job.write_text(json.dumps(document), encoding="utf-8")
    command = confined_command(script_worker.__name__, str(job), writable=[folder])
    try:
        process = run_child(command, environment=module_environment(threads=1), cwd=folder, timeout_s=_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise ProofError(f"{path.name}: expected an answer within {_TIMEOUT_S:g} s, found none") from error
    if process.returncode != 0:
        raise ProofError(f"{path.name} cannot be run: {failure(process.returncode, process.stderr)}")
    return tuple(_layer(step, place) for place, step in enumerate(json.loads(found.read_text(encoding="utf-8"))))


def named_like(layers: Sequence[GraphLayer], model: Sequence[GraphLayer]) -> tuple[GraphLayer, ...]:
    """Gather recorded operators into layers with the names of another file's layers, which compute the same in order.

    Args:
        layers: a layer for each recorded operator.
        model: layers of a file that has names.
    """
    flat = [(place, operator) for place, layer in enumerate(model) for operator in layer.operators]
    families = [family(operator) for _, operator in flat]
    owners = {one: flat[other][0] for one, other in align([family(layer.operator) for layer in layers], families)}
    gathered: list[tuple[int | None, list[GraphLayer]]] = []
    for place, layer in enumerate(layers):
        before = next((owners[one] for one in range(place, -1, -1) if one in owners), None)
        after = next((owners[one] for one in range(place, len(layers)) if one in owners), None)
        owner = owners.get(place, before if before == after else None)
        if owner is not None and gathered and gathered[-1][0] == owner:
            gathered[-1][1].append(layer)
        else:
            gathered.append((owner, [layer]))
    return tuple(parts[0] if owner is None else _joined(parts, model[owner]) for owner, parts in gathered)


def _joined(parts: Sequence[GraphLayer], like: GraphLayer) -> GraphLayer:
    """One layer of several operators, with the name of another file's layer."""
    weighted = next((part for part in parts if part.width is not None), parts[-1])
    macs = [part.macs for part in parts if part.macs is not None]
    return replace(
        parts[-1],
        module=like.module,
        class_name=like.class_name,
        nodes=tuple(place for part in parts for place in part.nodes),
        operators=tuple(operator for part in parts for operator in part.operators),
        parameters=sum(part.parameters for part in parts),
        macs=sum(macs) if len(macs) == len(parts) else None,
        number_format=weighted.number_format,
        width=weighted.width,
        inputs=weighted.inputs,
    )


def _layer(step: dict[str, Any], place: int) -> GraphLayer:
    operator = _OPERATORS.get(step["operator"], step["operator"])
    shape, constants = tuple(step["shape"]), step["constants"]
    kernels = [constant for constant in constants if len(constant["shape"]) > 1]
    kernel = kernels[0] if kernels and operator in (*_CONVOLUTIONS, *_PRODUCTS) else None
    width, inputs, macs = _sizes(operator, step, kernel["shape"]) if kernel is not None else (None, None, 0)
    learned = constants if kernel is not None or operator in _NORMS else []
    return GraphLayer(
        module=operator,
        class_name="",
        nodes=(place,),
        helpers=frozenset(),
        operators=(operator,),
        output="",
        handed_on="",
        shape=shape,
        parameters=sum(math.prod(constant["shape"]) for constant in learned),
        macs=macs,
        number_format=_FORMATS.get(step["dtype"] if kernel is None else kernel["dtype"], ""),
        width=width,
        inputs=inputs,
        weights="",
        zeros=0.0,
    )


def _sizes(operator: str, step: dict[str, Any], kernel: Sequence[int]) -> tuple[int, int, int]:
    """Number of channels or features that a weight gives and takes, and its multiply-accumulates for one example."""
    values = math.prod(step["shape"])
    if operator in _CONVOLUTIONS:
        return step["shape"][1], kernel[1], values * math.prod(kernel[1:])
    width = step["shape"][-1]
    inputs = math.prod(kernel) // width
    return width, inputs, values * inputs
