"""Functions that both int8 passes of an ONNX file share: read, prepare for the quantizer, report, write."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

from pipeline.compress.pass_effect import LayerTouch, PassReport
from pipeline.engine.manifest import write_atomically
from pipeline.errors import FileError, ProofError, UsageError
from pipeline.inspection.graph import GraphCost, module_name

# Suffix that ONNX Runtime's quantizer appends to the name of a weight.
_QUANTIZED = "_quantized"


def read_model(source: Path) -> onnx.ModelProto:
    """Read an ONNX file.

    Raises:
        FileError: the file is not an ONNX file.
    """
    try:
        return onnx.load(source)
    except Exception as error:
        raise FileError(f"{source}: expected an ONNX file, found: {' '.join(str(error).split())}") from error


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Make a copy that the quantizer accepts."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # The exporter recorded another name of the batch axis than the quantizer infers, so the quantizer would complain:
    # "Inferred shape and existing shape differ".
    del copy.graph.value_info[:]
    # The exporter has optimized the graph already; without this note the quantizer asks for that in its log.
    copy.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    return copy


def node_names(model: onnx.ModelProto, modules: Collection[str]) -> list[str]:
    """The names of the nodes of some modules in the quantizer, which turns each Gemm into a MatMul before it looks."""
    names = [node.name for node in model.graph.node if module_name(node) in modules]
    return [*names, *(f"{name}_MatMul" for name in names)]


def report(
    *,
    kind: str,
    detail: str,
    operators: Sequence[str],
    source: onnx.ModelProto,
    touched: Collection[str],
    cost: GraphCost,
) -> PassReport:
    """Report what a pass touched.

    Args:
        kind: kind of the pass.
        detail: settings of the pass in words.
        operators: operators that the pass may touch.
        source: float model.
        touched: names of the float model's weights that the pass converted.
        cost: cost of the float model.

    Returns:
        The report.

    Raises:
        UsageError: the pass touched nothing.
    """
    tensors = {tensor.name: tensor for tensor in source.graph.initializer}
    layers = []
    for node in cost.nodes:
        if node.weight in tensors:
            values = onnx.numpy_helper.to_array(tensors[node.weight])
            layers.append(
                LayerTouch(
                    name=node.name,
                    kind=node.operator,
                    weights=int(values.size),
                    zeros=int(values.size - np.count_nonzero(values)),
                    macs=node.macs or 0,
                    touched=node.weight in touched,
                )
            )
    if not any(layer.touched for layer in layers):
        kinds = ", ".join(sorted({layer.kind for layer in layers})) or "none"
        listed = ", ".join(operators[:-1])
        raise UsageError(
            f"{kind}: expected at least one {listed} or {operators[-1]} with constant weights, found weights in: "
            f"{kinds}; leave the pass out"
        )
    return PassReport(kind=kind, detail=detail, layers=tuple(layers), parameters=sum(cost.parameters.values()))


def quantized_weights(model: onnx.ModelProto) -> set[str]:
    """Names that the weights of a quantized model have in the float one."""
    names = [tensor.name for tensor in model.graph.initializer]
    return {name.removesuffix(_QUANTIZED) for name in names if name.endswith(_QUANTIZED)}


def write_model(model: onnx.ModelProto, destination: Path, *, what: str) -> None:
    """Write a quantized model, checked, in one step; the same model gives the same bytes.

    Args:
        model: model to write; the quantizer's notes are dropped.
        destination: path of the file.
        what: pass and source file, for messages.

    Raises:
        ProofError: the graph is invalid.
    """
    del model.metadata_props[:]
    content = model.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ProofError(f"{what}: expected a valid graph, found: {' '.join(str(error).split())}") from error
    write_atomically(destination, content)


@contextmanager
def quantizing(kind: str) -> Iterator[None]:
    """Turn whatever ONNX Runtime's quantizer raises into an error that says it cannot take the graph.

    Args:
        kind: kind of the pass.

    Raises:
        UsageError: the quantizer raised something.
    """
    try:
        yield
    except Exception as error:
        raise UsageError(
            f"{kind}: expected a graph that ONNX Runtime's quantizer takes, found {type(error).__name__}: "
            f"{' '.join(str(error).split())[:200]}; leave the pass out"
        ) from error
