"""Reads an ONNX graph as layers: runs of nodes that come from one module of the user's network."""

from __future__ import annotations

import ast
import hashlib
from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from pipeline.inspection.graph import GraphCost, Shape, graph_cost, shapes_at_batch_one

_NAME_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
# The part of a network's name that `Deployable` puts in front of the user's own names.
_NETWORK = "network"
# ONNX Runtime's quantizer appends this to the name of a weight.
_QUANTIZED_WEIGHT = "_quantized"
_PREPARE = ("DynamicQuantizeLinear", "QuantizeLinear")
_HELPERS = (*_PREPARE, "DequantizeLinear")
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
_CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
# Operators that do the same whatever their number format.
_FAMILIES = {
    **dict.fromkeys(_CONVOLUTIONS, "convolution"),
    **dict.fromkeys((*_PRODUCTS, "Gemm", "QGemm", "MatMulNBits"), "product"),
}
# Operators by which exporters write the same layer.
_ALIKE = {"Flatten": "Reshape", "GlobalAveragePool": "ReduceMean"}


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
        return next((name for name in self.operators if name in _FAMILIES), self.operators[-1])

    @property
    def family(self) -> str:
        """What the layer does, whatever its number format."""
        return _FAMILIES.get(self.operator) or _ALIKE.get(self.operator, self.operator)


@dataclass(kw_only=True)
class _Run:
    """Nodes of one module while they are gathered; `own` are those that the module itself brought."""

    module: str
    class_name: str
    nodes: list[int]
    own: list[int] = field(default_factory=list)


def graph_layers(model: onnx.ModelProto) -> tuple[GraphLayer, ...]:
    """Gather the nodes of a graph into layers, in the graph's order.

    Nodes that only unpack constants belong to no layer: ONNX Runtime computes them ahead.

    Args:
        model: ONNX model; it is not run.
    """
    constants = constant_values(model.graph)
    cost = graph_cost(model)
    facts = _Facts(model, cost, shapes_at_batch_one(model))
    return tuple(facts.layer(run) for run in _runs(model.graph, constants))


def constant_values(graph: onnx.GraphProto) -> set[str]:
    """Names of the values that follow from the file alone."""
    constants = {tensor.name for tensor in graph.initializer}
    for node in graph.node:
        if all(name in constants for name in node.input if name):
            constants.update(node.output)
    return constants


def module_of(node: onnx.NodeProto) -> tuple[str, str]:
    """Name and class of the module that a node came from, as the exporter recorded them; empty where it did not."""
    metadata = {entry.key: entry.value for entry in node.metadata_props}
    try:
        scopes, classes = ast.literal_eval(metadata[_NAME_SCOPES]), ast.literal_eval(metadata[_CLASSES])
        # The last entry is the call inside the module.
        return str(scopes[-2]), str(classes[-2]).rpartition(".")[2]
    except (KeyError, SyntaxError, ValueError, IndexError, TypeError):
        return "", ""


def own_name(module: str) -> str:
    """The name of a module as its user knows it, inside the network."""
    if module == _NETWORK:
        return ""
    return module.removeprefix(f"{_NETWORK}.")


def _runs(graph: onnx.GraphProto, constants: set[str]) -> list[_Run]:
    runs: list[_Run] = []
    ahead: list[int] = []
    for place, (module, class_name) in _origins(graph, constants).items():
        node = graph.node[place]
        if not module and not class_name:
            # A quantizer put this node in. What prepares a product belongs to it, all else to the layer before.
            if node.op_type in _PREPARE or ahead or not runs:
                ahead.append(place)
            else:
                runs[-1].nodes.append(place)
            continue
        if runs and runs[-1].module == module:
            runs[-1].nodes += [*ahead, place]
            runs[-1].class_name = runs[-1].class_name or class_name
        else:
            runs.append(_Run(module=module, class_name=class_name, nodes=[*ahead, place]))
        runs[-1].own += [other for other in ahead if graph.node[other].op_type in _FAMILIES] + [place]
        ahead = []
    if ahead and runs:
        runs[-1].nodes += ahead
    return runs


def _origins(graph: onnx.GraphProto, constants: set[str]) -> dict[int, tuple[str, str]]:
    """Module and class of each node that computes, by position; both empty where a quantizer put the node in."""
    recorded = {place: module_of(node) for place, node in enumerate(graph.node)}
    has_scopes = any(class_name for _, class_name in recorded.values())
    origins: dict[int, tuple[str, str]] = {}
    for place, node in enumerate(graph.node):
        if all(name in constants for name in node.input if name):
            continue
        module, class_name = recorded[place]
        if not class_name:
            module = _owner_of_weights(node)
            if not module and not has_scopes and node.op_type not in _HELPERS:
                module = _name_of(node)
        elif class_name.startswith("BatchNorm") and node.op_type in _FAMILIES:
            # The exporter folded the norm into the convolution before it, and named that after the norm.
            module, class_name = _owner(node.input, ".weight") or module, ""
        origins[place] = module, class_name
    return _inside(origins)


def _inside(origins: dict[int, tuple[str, str]]) -> dict[int, tuple[str, str]]:
    """Give nodes back to the module that calls them: attention multiplies with weights of a module that never runs."""
    named = [place for place, (_, class_name) in origins.items() if class_name]
    inside = dict(origins)
    for place, (module, class_name) in origins.items():
        if class_name or not module:
            continue
        index = bisect(named, place)
        around = {origins[other] for other in named[max(0, index - 1) : index + 1]}
        if 0 < index < len(named) and len(around) == 1:
            [(caller, caller_class)] = around
            if module.startswith(f"{caller}."):
                inside[place] = caller, caller_class
    return inside


def _name_of(node: onnx.NodeProto) -> str:
    """The module of a node by the names of its weights, or by its own name, as exporters write them."""
    owner = _owner(node.input, ".weight", ".bias")
    if owner:
        return owner
    parts: list[str] = []
    for scope in node.name.strip("/").split("/")[:-1]:  # such as /layer1/layer1.0/conv1/Conv
        parts = [*parts[:-1], scope] if parts and scope.startswith(f"{parts[-1]}.") else [*parts, scope]
    return ".".join(parts) or node.name or (node.output[0] if node.output else node.op_type)


def _owner_of_weights(node: onnx.NodeProto) -> str:
    """The module whose quantized weight a node multiplies with: quantizers drop the metadata, but keep that name."""
    # The product's input ends so too, but no module owns it.
    return _owner(node.input, _QUANTIZED_WEIGHT)


def _owner(names: Iterable[str], *endings: str) -> str:
    """The module that owns the first constant whose name ends so; empty where there is none."""
    owners = (name.removesuffix(_QUANTIZED_WEIGHT).rpartition(".")[0] for name in names if name.endswith(endings))
    return next((owner for owner in owners if owner), "")


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

    def layer(self, run: _Run) -> GraphLayer:
        """Describe a run of nodes."""
        nodes = [self._graph.node[place] for place in run.nodes]
        own = [self._graph.node[place] for place in run.own]
        learned = dict.fromkeys(name for node in nodes for name in node.input if name in self._cost.parameters)
        macs = [self._macs[node.output[0]] for node in nodes if node.output[0] in self._macs]
        weighted = next((node for node in own if node.op_type in _FAMILIES and len(node.input) > 1), None)
        width, inputs = (None, None) if weighted is None else self._sizes(weighted)
        output = nodes[-1].output[0] if nodes[-1].op_type not in _HELPERS else own[-1].output[0]
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
            if node.op_type in _FAMILIES or any(name in self._cost.parameters for name in node.input):
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
        if node.op_type in _CONVOLUTIONS:
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
