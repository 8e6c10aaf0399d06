"""Gathers the nodes of an ONNX graph into runs: neighbours that come from one module of the user's network."""

from __future__ import annotations

import ast
from bisect import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx

_NAME_SCOPES = "pkg.torch.onnx.name_scopes"
_CLASSES = "pkg.torch.onnx.class_hierarchy"
# The part of a network's name that `Deployable` puts in front of the user's own names.
_NETWORK = "network"
# ONNX Runtime's quantizer appends this to the name of a weight.
_QUANTIZED_WEIGHT = "_quantized"
_PREPARE = ("DynamicQuantizeLinear", "QuantizeLinear")
HELPERS = (*_PREPARE, "DequantizeLinear")
CONVOLUTIONS = ("Conv", "ConvInteger", "QLinearConv")
_PRODUCTS = ("MatMul", "MatMulInteger", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul")
# Operators that do the same whatever their number format.
FAMILIES = {
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys((*_PRODUCTS, "Gemm", "QGemm", "MatMulNBits"), "product"),
}
# Operators by which exporters write the same layer.
_ALIKE = {"Flatten": "Reshape", "GlobalAveragePool": "ReduceMean"}


def family(operator: str) -> str:
    """What an operator does, whatever its number format and whoever exported it."""
    return FAMILIES.get(operator) or _ALIKE.get(operator, operator)


@dataclass(kw_only=True)
class Run:
    """Nodes of one module while they are gathered; `own` are those that the module itself brought."""

    module: str
    class_name: str
    nodes: list[int]
    own: list[int] = field(default_factory=list)


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
    except (KeyError, SyntaxError, ValueError, IndexError, TypeError, RecursionError, MemoryError):
        return "", ""


def own_name(module: str) -> str:
    """The name of a module as its user knows it, inside the network."""
    if module == _NETWORK:
        return ""
    return module.removeprefix(f"{_NETWORK}.")


def runs_of(graph: onnx.GraphProto, constants: set[str]) -> list[Run]:
    """Gather the nodes that compute into runs, in the graph's order.

    Args:
        graph: graph of a model.
        constants: names of the values that follow from the file alone.
    """
    runs: list[Run] = []
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
            runs.append(Run(module=module, class_name=class_name, nodes=[*ahead, place]))
        runs[-1].own += [other for other in ahead if graph.node[other].op_type in FAMILIES] + [place]
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
            module = owner_of_weights(node)
            if not module and not has_scopes and node.op_type not in HELPERS:
                module = _name_of(node)
        elif class_name.startswith("BatchNorm") and node.op_type in FAMILIES:
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


def owner_of_weights(node: onnx.NodeProto) -> str:
    """The module whose quantized weight a node multiplies with: quantizers drop the metadata, but keep that name."""
    # The product's input ends so too, but no module owns it.
    return _owner(node.input, _QUANTIZED_WEIGHT)


def _owner(names: Iterable[str], *endings: str) -> str:
    """The module that owns the first constant whose name ends so; empty where there is none."""
    owners = (name.removesuffix(_QUANTIZED_WEIGHT).rpartition(".")[0] for name in names if name.endswith(endings))
    return next((owner for owner in owners if owner), "")
