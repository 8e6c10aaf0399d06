"""Dynamic int8 of an ONNX file, made by ONNX Runtime's quantizer from the float file."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from pipeline.compress.touched import LayerTouch, PassReport
from pipeline.errors import FileError, ProofError, RecipeError
from pipeline.inspection.graph import GraphCost, graph_cost, module_name

# Convolutions stay in float: ConvInteger makes a CNN several times slower than its float file.
OPERATORS = ("MatMul", "Gemm")
# 7 bits. Without VNNI, a CPU adds products of 8-bit weights in saturating 16-bit sums, and the same file is right on
# one machine and wrong on the next; what is proven here must hold where it is served.
REDUCE_RANGE = True
# A scale per output channel: closer to float, and as fast.
PER_CHANNEL = True


def quantize_file(source: Path, destination: Path, *, keep: Collection[str] = ()) -> PassReport:
    """Quantize the linear layers of an ONNX file; the same file gives the same bytes.

    Args:
        source: a float ONNX file, left as it is.
        destination: where the quantized file goes.
        keep: names of modules whose layers stay in float.

    Returns:
        What was touched.

    Raises:
        FileError: the source is not an ONNX file.
        RecipeError: it holds no MatMul or Gemm with constant weights.
        ProofError: the quantizer made an invalid graph.
    """
    try:
        model = onnx.load(source)
    except Exception as error:
        raise FileError(f"{source}: expected an ONNX file, found: {' '.join(str(error).split())}") from error
    cost = graph_cost(model)
    prepared = onnx.ModelProto()
    prepared.CopyFrom(model)
    # The shapes the exporter recorded name the batch axis otherwise than the quantizer infers it, which it then calls
    # "Inferred shape and existing shape differ".
    del prepared.graph.value_info[:]
    # The exporter has optimized the graph already; without this note the quantizer logs that it should be.
    prepared.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    with tempfile.TemporaryDirectory(prefix="pipeline-int8-") as folder:
        path = Path(folder) / "model.onnx"
        quantize_dynamic(
            prepared,
            path,
            op_types_to_quantize=list(OPERATORS),
            per_channel=PER_CHANNEL,
            reduce_range=REDUCE_RANGE,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_names(model, keep),
        )
        quantized = onnx.load(path)
    del quantized.metadata_props[:]
    made = _report(model, quantized, cost)
    content = quantized.SerializeToString(deterministic=True)
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ProofError(
            f"dynamic-int8 of {source.name}: expected a valid graph, found: {' '.join(str(error).split())}"
        ) from error
    partial = destination.with_name(destination.name + ".partial")
    partial.write_bytes(content)
    partial.replace(destination)
    return made


def _names(model: onnx.ModelProto, modules: Collection[str]) -> list[str]:
    """Nodes of some modules, as the quantizer knows them: it makes a MatMul of each Gemm before it looks."""
    names = [node.name for node in model.graph.node if module_name(node) in modules]
    return [*names, *(f"{name}_MatMul" for name in names)]


def _report(model: onnx.ModelProto, quantized: onnx.ModelProto, cost: GraphCost) -> PassReport:
    tensors = {one.name: one for one in model.graph.initializer}
    made = {one.name for one in quantized.graph.initializer}
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
                    touched=f"{node.weight}_quantized" in made,
                )
            )
    if not any(layer.touched for layer in layers):
        operators = ", ".join(sorted({layer.kind for layer in layers})) or "none"
        raise RecipeError(
            f"dynamic-int8: expected at least one {' or '.join(OPERATORS)} with constant weights, found weights in: "
            f"{operators}; leave the pass out"
        )
    return PassReport(
        kind="dynamic-int8",
        detail="int8 weights (7 bits) of MatMul and Gemm, per output channel (ONNX Runtime)",
        layers=tuple(layers),
        parameters=sum(cost.parameters.values()),
    )
