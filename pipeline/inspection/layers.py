"""Reads an ONNX graph as layers: runs of nodes that come from one module of the user's network."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from pipeline.inspection.graph import GraphCost, Shape, graph_cost, shapes_at_batch_one
from pipeline.inspection.graph_runs import CONVOLUTIONS, FAMILIES, HELPERS, Run, constant_values, family, runs_of

_FORMATS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "fp32",
    onnx.TensorProto.DOUBLE: "fp64",
    onnx.TensorProto.FLOAT16: "fp16",
    onnx.TensorProto.BFLOAT16: "bf16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "int8",
    onnx.TensorProto.INT4: "int4",
    onnx.TensorProto.UINT4: "int4",
}


@dataclass(frozen=True, kw_only=True)
class GraphLayer:
    """A run of neighbouring nodes of one module.

    Args:
        module: name of the module in the user's network; where the file holds no names, that of the node.
        class_name: class of the module; empty where the exporter left none.
        nodes: positions of its nodes in the graph.
        helpers: positions of those among them that only prepare numbers of another format.
        operators: operators of the others.
        output: name of the value that it computes; empty where a file has no names for values.
        handed_on: name of the value that the next layer gets: of an integer layer, the output once it was quantized.
        shape: shape of these values for one example, with the axis of the batch; None where it is unknown.
        parameters: number of learned values.
        macs: multiply-accumulates for one example; None where unknown.
        number_format: format that it computes in; empty where it is unknown.
        width: number of channels or features that it gives, by its weight; None without one.
        inputs: number of channels or features that it takes, likewise.
        weights: digest of its learned values; empty without any.
        zeros: share of its weights that are zero, from 0 to 1.
    """

    module: str
    class_name: str
    nodes: tuple[int, ...]
    helpers: frozenset[int]
    operators: tuple[str, ...]
    output: str
    handed_on: str
    shape: Shape | None
    parameters: int
    macs: int | None
    number_format: str
    width: int | None
    inputs: int | None
    weights: str
    zeros: float

    @property
    def operator(self) -> str:
        """The operator that costs most: one with weights where there is one."""
        return next((name for name in self.operators if name in FAMILIES), self.operators[-1])

    @property
    def family(self) -> str:
        """What the layer does, whatever its number format."""
        return family(self.operator)


def graph_layers(model: onnx.ModelProto) -> tuple[GraphLayer, ...]:
    """Gather the nodes of a graph into layers, in the graph's order.

    Nodes that only unpack constants belong to no layer: ONNX Runtime computes them ahead.

    Args:
        model: ONNX model; it is not run.
    """
    constants = constant_values(model.graph)
    cost = graph_cost(model)
    facts = _Facts(model, cost, shapes_at_batch_one(model))
    return tuple(facts.layer(run) for run in runs_of(model.graph, constants))


class _Facts:
    """What is known of a model's values, by name."""

    def __init__(self, model: onnx.ModelProto, cost: GraphCost, shapes: Mapping[str, Shape]) -> None:
        self._graph = model.graph
        self._cost = cost
        self._shapes = shapes
        self._tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._macs = {node.output: node.macs for node in cost.nodes}
        self._constants = constant_values(model.graph)
        self._default = self._usual_format()

    def layer(self, run: Run) -> GraphLayer:
        """Describe a run of nodes."""
        nodes = [self._graph.node[place] for place in run.nodes]
        own = [self._graph.node[place] for place in run.own]
        learned = dict.fromkeys(name for node in nodes for name in node.input if name in self._cost.parameters)
        macs = [self._macs[node.output[0]] for node in nodes if node.output[0] in self._macs]
        weighted = next((node for node in own if node.op_type in FAMILIES and len(node.input) > 1), None)
        width, inputs = (None, None) if weighted is None else self._sizes(weighted)
        output = nodes[-1].output[0] if nodes[-1].op_type not in HELPERS else own[-1].output[0]
        number_format = self._format(own)
        weights, zeros = self._stored_facts(learned)
        return GraphLayer(
            module=run.module,
            class_name=run.class_name,
            nodes=tuple(run.nodes),
            helpers=frozenset(run.nodes) - frozenset(run.own),
            operators=tuple(node.op_type for node in own),
            output=output,
            handed_on=self._handed_on(output) if number_format.startswith("int") else output,
            shape=self._shapes.get(own[-1].output[0]),
            parameters=sum(self._cost.parameters[name] for name in learned),
            macs=None if None in macs else sum(count for count in macs if count is not None),
            number_format=number_format,
            width=width,
            inputs=inputs,
            weights=weights,
            zeros=zeros,
        )

    def _stored(self, name: str) -> onnx.TensorProto | None:
        """The initializer behind a constant, before it is unpacked."""
        while name not in self._tensors:
            maker = self._makers.get(name)
            if maker is None or not maker.input or name not in self._constants:
                return None
            name = maker.input[0]
        tensor: onnx.TensorProto = self._tensors[name]
        return tensor

    def _format(self, own: Sequence[onnx.NodeProto]) -> str:
        for node in own:
            bits = next((attribute.i for attribute in node.attribute if attribute.name == "bits"), 0)
            if node.op_type == "MatMulNBits":
                return f"int{bits or 4}"
            if node.op_type in FAMILIES or any(name in self._cost.parameters for name in node.input):
                stored = [self._stored(name) for name in node.input if name in self._constants]
                weights = [tensor for tensor in stored if tensor is not None and len(tensor.dims) > 1]
                if weights:
                    return _FORMATS.get(weights[0].data_type, "")
        before = [self._makers[name] for node in own for name in node.input if name in self._makers]
        after = self._users.get(own[-1].output[0], [])
        integers = any(node.op_type == "DequantizeLinear" for node in before)
        if integers and after and all(node.op_type == "QuantizeLinear" for node in after):
            return "int8"
        return self._default

    def _usual_format(self) -> str:
        """The format of most float constants; layers without weights compute in it."""
        sizes: dict[int, int] = {}
        for tensor in self._tensors.values():
            if _FORMATS.get(tensor.data_type, "").startswith(("fp", "bf")):
                sizes[tensor.data_type] = sizes.get(tensor.data_type, 0) + 1
        return _FORMATS[max(sizes, key=lambda kind: sizes[kind])] if sizes else ""

    def _sizes(self, node: onnx.NodeProto) -> tuple[int | None, int | None]:
        """Number of channels or features that a weight gives and takes."""
        names = [name for name in node.input if name in self._constants]
        weights = [tensor for tensor in map(self._stored, names) if tensor is not None and len(tensor.dims) > 1]
        if not weights:
            return None, None
        dims = tuple(weights[0].dims)
        if node.op_type in CONVOLUTIONS:
            group = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
            return dims[0], dims[1] * group
        if any(attribute.name == "transB" and attribute.i for attribute in node.attribute):
            return dims[0], dims[1]
        return dims[-1], dims[-2]

    def _handed_on(self, output: str) -> str:
        """The value behind a QuantizeLinear and a DequantizeLinear, where nobody takes the value before them."""
        value = output
        for operator in ("QuantizeLinear", "DequantizeLinear"):
            users = self._users.get(value, [])
            if len(users) != 1 or users[0].op_type != operator:
                return output
            value = users[0].output[0]
        return value

    def _stored_facts(self, learned: Iterable[str]) -> tuple[str, float]:
        """Digest of learned values, and the share of zeros among the weights."""
        digest = hashlib.sha256()
        zeros = weights = 0
        for tensor in map(self._stored, learned):
            if tensor is None or tensor.data_location == onnx.TensorProto.EXTERNAL:
                return "", 0.0
            values = onnx.numpy_helper.to_array(tensor)
            digest.update(values.tobytes())
            if values.ndim > 1:
                weights += values.size
                zeros += values.size - int(np.count_nonzero(values))
        return digest.hexdigest() if weights else "", zeros / weights if weights else 0.0
