"""Say which layers of a file each node of its optimized graph stands for: ONNX Runtime fuses, renames and reorders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import onnx

from pipeline.inspection.graph_runs import constant_values
from pipeline.inspection.layers import GraphLayer
from pipeline.measure.layer_times import NodeTime
from pipeline.measure.layer_worker import node_names

# ONNX Runtime names a node that it made after the value or the node in place of which it stands.
_MADE = re.compile(r"^(?:fused )?(?P<name>.*?)(?:_nchwc)?(?:_token_\d+)?$")
# Position of the input of ONNX Runtime's own convolution that is added to its result.
_SUM = 3


@dataclass(frozen=True, kw_only=True)
class GroupTime:
    """Time of layers that cannot be told apart.

    Args:
        layers: positions of the layers, in the file's order.
        microseconds: sum of what the profiler reports of their nodes.
    """

    layers: tuple[int, ...]
    microseconds: float


def group_times(
    model: onnx.ModelProto, layers: Sequence[GraphLayer], nodes: Sequence[NodeTime]
) -> tuple[tuple[GroupTime, ...], float]:
    """Divide the time of an optimized graph among the layers of the file that it was made of.

    A node of the optimized graph stands for all nodes of the file between its inputs and its outputs, so that a fused
    node stands for each layer in it.

    Args:
        model: file as it was loaded.
        layers: its layers.
        nodes: nodes of the optimized graph with their times, in the order in which they run.

    Returns:
        Groups of layers with their times, in the order of their first layers, and the time in nodes that stand for no
        layer, such as changes of layout.
    """
    cover = _Cover(model)
    owners = {place: number for number, layer in enumerate(layers) for place in layer.nodes}
    helpers = {place for layer in layers for place in layer.helpers}
    times: list[tuple[set[int], float]] = []
    rest = 0.0
    for node in nodes:
        covered = sorted(place for place in cover.covered(node) if place in owners)
        own = {owners[place] for place in covered if place not in helpers}
        group = own or {owners[place] for place in covered[-1:]}
        if group:
            times.append((group, node.microseconds))
        else:
            rest += node.microseconds
    return _joined(times), rest


def _joined(times: Sequence[tuple[set[int], float]]) -> tuple[GroupTime, ...]:
    """Join groups that share a layer."""
    groups: list[tuple[set[int], float]] = []
    for layers, microseconds in times:
        sharing = [group for group in groups if group[0] & layers]
        groups = [group for group in groups if not group[0] & layers]
        joined = layers.union(*(group[0] for group in sharing))
        groups.append((joined, microseconds + sum(group[1] for group in sharing)))
    groups.sort(key=lambda group: min(group[0]))
    return tuple(GroupTime(layers=tuple(sorted(layers)), microseconds=total) for layers, total in groups)


class _Cover:
    """The nodes of a file that nodes of its optimized graph stand for, each at most once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = model.graph
        self._makers = {name: place for place, node in enumerate(model.graph.node) for name in node.output}
        self._constants = constant_values(model.graph)
        names = node_names(model.graph)
        self._by_name: dict[str, str] = {
            name: node.output[0] for name, node in zip(names, model.graph.node, strict=True) if node.output
        }
        self._users: dict[str, list[int]] = {}
        for place, node in enumerate(model.graph.node):
            for name in node.input:
                self._users.setdefault(name, []).append(place)
        self._inputs: set[str] = {value.name for value in model.graph.input}
        self._known: dict[str, str] = {}  # values of the file by values of the optimized graph that hold the same
        self._taken: set[int] = set()

    def covered(self, node: NodeTime) -> set[int]:
        """Positions of the nodes between the inputs and the outputs of a node of the optimized graph."""
        starts = {self._value(name) for name in node.inputs}
        ends = []
        for name in node.outputs:
            value = name if name in self._makers else self._with_fused(node, self._named_after(node, starts))
            if value:
                self._known[name] = value
                ends.append(value)
        places = self._behind(ends, starts)
        self._taken |= places
        return places

    def _value(self, name: str) -> str:
        return self._known.get(name, name)

    def _named_after(self, node: NodeTime, starts: set[str]) -> str:
        """The value of the file that an output holds: by the node's name, else what the node took in."""
        name = _MADE.sub(r"\g<name>", node.name)
        if name in self._makers:
            return name
        if name in self._by_name:
            return self._by_name[name]
        return next((start for start in sorted(starts) if start in self._makers or start in self._inputs), "")

    def _with_fused(self, node: NodeTime, value: str) -> str:
        """The value behind the sum and the activation that were fused into a convolution, which keeps its own name."""
        if node.operator != "Conv" or value not in self._makers:
            return value
        if len(node.inputs) > _SUM and node.inputs[_SUM]:
            value = self._only_user(value, "Add") or value
        if node.activation and self._graph.node[self._makers[value]].op_type != node.activation:
            value = self._only_user(value, node.activation) or value
        return value

    def _only_user(self, value: str, operator: str) -> str:
        users = [self._graph.node[place] for place in self._users.get(value, ())]
        return users[0].output[0] if len(users) == 1 and users[0].op_type == operator else ""

    def _behind(self, ends: Sequence[str], starts: set[str]) -> set[int]:
        places: set[int] = set()
        values = [value for value in ends if value not in starts]
        while values:
            value = values.pop()
            place = self._makers.get(value)
            if place is None or place in places or place in self._taken or value in self._constants:
                continue
            places.add(place)
            values += [name for name in self._graph.node[place].input if name and name not in starts]
        return places
