"""Counts the parameters and multiply-accumulates of an ONNX graph, node by node, without running it."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass

import onnx

# Positions of the inputs that a network learns. It learns no inputs of other operators, except elementwise constants
# (below).
_LEARNED = {
    "BatchNormalization": (1, 2),  # the running mean and variance are measured, not learned
    "Conv": (1, 2),
    "ConvInteger": (1,),
    "ConvTranspose": (1, 2),
    "DynamicQuantizeMatMul": (1, 4),
    "GRU": (1, 2, 3),
    "Gather": (0,),  # an embedding; index tables are integers and do not count
    "Gemm": (0, 1, 2),
    "GroupNormalization": (1, 2),
    "InstanceNormalization": (1, 2),
    "LSTM": (1, 2, 3, 7),
    "LayerNormalization": (1, 2),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "MatMulIntegerToFloat": (0, 1, 6),
    "PRelu": (1,),
    "QLinearConv": (3, 8),
    "QLinearMatMul": (0, 3),
    "RMSNormalization": (1,),
    "RNN": (1, 2, 3),
}
# Constants of these operators are learned too (a bias after a matrix product, a layer scale, a position embedding) if a
# learned operator stands before them.
_ELEMENTWISE = ("Add", "Div", "Mul", "Sub")
_WEIGHT = {"QLinearConv": 3, "QLinearMatMul": 3}
_NAME_SCOPES = "pkg.torch.onnx.name_scopes"
_INDEX_TYPES = (onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.BOOL, onnx.TensorProto.STRING)

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class NodeCost:
    """One node that holds weights or multiplies matrices.

    Args:
        name: name of the user's module where the exporter recorded it, else of the node.
        operator: name of the ONNX operator.
        output: name of its first output.
        learned: names of the initializers that count as its parameters.
        weight: name of the weight among them; empty if the node multiplies activations only.
        macs: multiply-accumulates for one example; None where shapes do not follow from the file.
    """

    name: str
    operator: str
    output: str
    learned: tuple[str, ...]
    weight: str
    macs: int | None


@dataclass(frozen=True, kw_only=True)
class GraphCost:
    """The cost of a whole graph.

    Args:
        nodes: nodes that cost something, in the graph's order.
        parameters: number of values of each initializer that counts as a parameter, by name.
    """

    nodes: tuple[NodeCost, ...]
    parameters: dict[str, int]

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates for one example; None where those of a node are unknown."""
        counts = [node.macs for node in self.nodes if node.macs is not None]
        return sum(counts) if len(counts) == len(self.nodes) else None


def graph_cost(model: onnx.ModelProto) -> GraphCost:
    """Count parameters and multiply-accumulates.

    An initializer counts as a parameter where a network learns it: a weight or bias by its place in an operator, or an
    elementwise constant of more than one value behind such an operator. So the constants of preprocessing, which
    stand in front of all weights, do not count, nor do shapes, scales and zero points of a quantized file. A weight
    counts the same in float and in int8.

    Args:
        model: ONNX model; only names, shapes and types of its tensors are read.

    Returns:
        The counts. Nodes inside the branches of `If` or the body of `Loop` do not count.
    """
    graph = model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            tensors.update((node.output[0], attribute.t) for attribute in node.attribute if attribute.name == "value")
    shapes = shapes_at_batch_one(model) | {name: tuple(tensor.dims) for name, tensor in tensors.items()}
    # A quantized weight counts as learned behind its DequantizeLinear, and so does a bias, which is an integer before.
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors:
            dims = tensors[node.input[0]].dims
            tensors[node.output[0]] = onnx.TensorProto(data_type=onnx.TensorProto.INT8, dims=dims)
    behind_weights: set[str] = set()
    scales: set[str] = set()
    costs: list[NodeCost] = []
    parameters: dict[str, int] = {}
    for node in graph.node:
        learned = [
            node.input[place]
            for place in _LEARNED.get(node.op_type, ())
            if place < len(node.input) and _is_learned(node.input[place], tensors)
        ]
        if node.op_type in _ELEMENTWISE and behind_weights.intersection(node.input) and not scales & set(node.input):
            learned = [name for name in node.input if _is_learned(name, tensors) and math.prod(tensors[name].dims) > 1]
        if learned or behind_weights.intersection(node.input):
            behind_weights.update(node.output)
        if node.op_type == "DynamicQuantizeLinear":
            scales.add(node.output[1])
        parameters |= {name: math.prod(tensors[name].dims) for name in learned}
        macs = _macs(node, shapes)
        if learned or macs != 0:
            weight = next((name for name in learned if len(tensors[name].dims) > 1), "")
            costs.append(
                NodeCost(
                    name=module_name(node),
                    operator=node.op_type,
                    output=node.output[0],
                    learned=tuple(learned),
                    weight=weight,
                    macs=macs,
                )
            )
    return GraphCost(nodes=tuple(costs), parameters=parameters)


def shapes_at_batch_one(model: onnx.ModelProto) -> dict[str, Shape]:
    """Shapes of all values whose shape follows from the file when the first axis of each input has size 1."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    # Shapes recorded for the symbolic batch would contradict the ones inferred for a batch of one.
    del bare.graph.value_info[:]
    for value in bare.graph.output:
        value.type.tensor_type.ClearField("shape")
    weights = {tensor.name for tensor in bare.graph.initializer}
    for value in bare.graph.input:
        axes = value.type.tensor_type.shape.dim
        if value.name not in weights and axes and axes[0].WhichOneof("value") != "dim_value":
            axes[0].dim_value = 1
    try:
        inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except onnx.shape_inference.InferenceError:
        inferred = bare
    values = [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]
    return {
        value.name: tuple(axis.dim_value for axis in value.type.tensor_type.shape.dim)
        for value in values
        if value.type.tensor_type.HasField("shape")
        and all(axis.WhichOneof("value") == "dim_value" for axis in value.type.tensor_type.shape.dim)
    }


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, including those inside branches and loops."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from all_nodes(attribute.g)


def module_name(node: onnx.NodeProto) -> str:
    """The user's own name of the module that a node came from; the node's name if the exporter recorded none."""
    for entry in node.metadata_props:
        if entry.key == _NAME_SCOPES:
            try:
                scopes = ast.literal_eval(entry.value)
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                break
            # The last scope is the call inside the module.
            if isinstance(scopes, list) and len(scopes) > 1 and scopes[-2]:
                return str(scopes[-2])
    return node.name or node.op_type


def _is_learned(name: str, tensors: dict[str, onnx.TensorProto]) -> bool:
    return name in tensors and tensors[name].data_type not in _INDEX_TYPES


def _macs(node: onnx.NodeProto, shapes: dict[str, Shape]) -> int | None:
    """Multiply-accumulates of a node; 0 for operators that multiply no matrices, None where a shape is unknown."""
    operator, operands = node.op_type, [shapes.get(name) for name in node.input]
    output = shapes.get(node.output[0])
    match operator:
        case "Conv" | "ConvInteger" | "QLinearConv":
            kernel = operands[_WEIGHT.get(operator, 1)]
            return None if kernel is None or output is None else math.prod(output) * math.prod(kernel[1:])
        case "ConvTranspose":
            values, kernel = operands[0], operands[1]
            return None if kernel is None or values is None else math.prod(values) * math.prod(kernel[1:])
        case "Gemm":
            first = operands[0]
            if first is None or output is None or len(first) != 2:
                return None
            across = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            return math.prod(output) * first[0 if across else 1]
        case "MatMul" | "MatMulInteger" | "QLinearMatMul" | "MatMulIntegerToFloat" | "DynamicQuantizeMatMul":
            first = operands[0]
            return None if not first or output is None else math.prod(output) * first[-1]
        case "LSTM" | "GRU" | "RNN":
            values, kernel, recurrence = operands[:3]
            if values is None or kernel is None or recurrence is None:
                return None
            # values are (steps, batch, features), or batch first; every step meets every weight once
            return math.prod(values[:2]) * (math.prod(kernel) + math.prod(recurrence))
        case _:
            return 0
