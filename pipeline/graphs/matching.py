"""Match the layers of two graphs by the names of the user's modules, and say in words what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from pipeline.checks.locate.align import align
from pipeline.inspection.graph_comparison import Change
from pipeline.inspection.graph_runs import own_name
from pipeline.inspection.layers import GraphLayer

_CONVOLUTION = "convolution"
# A layer was pruned where its share of zeros grew by more than this.
_MORE_ZEROS = 0.02
# Pairing takes memory as the product of both numbers: 100 MB here.
MOST_LAYERS = 5000


@dataclass(frozen=True, kw_only=True)
class Match:
    """Layers of two files that are the same layer of the user's network; one of them may be missing.

    Args:
        before: position in the first file.
        after: position in the second file.
    """

    before: int | None
    after: int | None


def match_layers(before: Sequence[GraphLayer], after: Sequence[GraphLayer]) -> tuple[Match, ...]:
    """Pair layers of the same module, in the order of both files.

    Where few names agree, because the files come from different exporters, layers that do the same are paired instead.
    """
    keys = [[own_name(layer.module) for layer in layers] for layers in (before, after)]
    if len(set(keys[0]) & set(keys[1])) * 2 < min(len(set(keys[0])), len(set(keys[1]))):
        keys = [[layer.family for layer in layers] for layers in (before, after)]
    matches: list[Match] = []
    first = second = 0
    for one, other in [*align(keys[0], keys[1]), (len(before), len(after))]:
        matches += _between(before, after, range(first, one), range(second, other))
        if one < len(before):
            matches.append(Match(before=one, after=other))
        first, second = one + 1, other + 1
    return tuple(matches)


def _between(before: Sequence[GraphLayer], after: Sequence[GraphLayer], left: range, right: range) -> Iterator[Match]:
    """Pair layers between two that match: there a layer that does the same has only another name."""
    first, second = left.start, right.start
    pairs = align([before[place].family for place in left], [after[place].family for place in right])
    for one, other in [*pairs, (len(left), len(right))]:
        yield from (Match(before=place, after=None) for place in range(first, left.start + one))
        yield from (Match(before=None, after=place) for place in range(second, right.start + other))
        if one < len(left):
            yield Match(before=left.start + one, after=right.start + other)
        first, second = left.start + one + 1, right.start + other + 1


def layer_names(layers: Sequence[GraphLayer]) -> tuple[str, ...]:
    """A name for each layer, no two the same: of a module that holds others, its operator is told too."""
    blocks = blocks_of(layers)
    names = []
    for layer in layers:
        name = own_name(layer.module) or "network"
        names.append(f"{name}: {layer.operator}" if layer.module in blocks else name)
    repeated = {name for name, times in Counter(names).items() if times > 1}
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} ({seen[name]})" if name in repeated and seen[name] > 1 else name)
    return tuple(unique)


def layer_kind(layer: GraphLayer, counterpart: GraphLayer | None, blocks: Collection[str]) -> str:
    """What a layer is: its class, that of its counterpart where a quantizer dropped the name, or its operator.

    Args:
        layer: layer of one file.
        counterpart: the same layer in the other file; None where that one lacks it.
        blocks: modules of the first file that hold others.
    """
    if layer.module in blocks:
        return layer.operator
    if layer.class_name:
        return layer.class_name
    if counterpart is not None and counterpart.family == layer.family and counterpart.class_name:
        return counterpart.class_name
    return layer.operator


def blocks_of(layers: Sequence[GraphLayer]) -> frozenset[str]:
    """Modules that hold others, so that their class says nothing of what their own nodes do."""
    blocks = {""}
    for layer in layers:
        parts = layer.module.split(".")
        blocks.update(".".join(parts[:length]) for length in range(1, len(parts)))
    return frozenset(blocks)


def changes_of(before: GraphLayer, after: GraphLayer, kinds: tuple[str, str]) -> tuple[Change, ...]:
    """Say what became of a layer.

    Args:
        before: layer of the first file.
        after: the same layer in the second file.
        kinds: what each of them is.
    """
    changes = []
    if before.family != after.family and kinds[0] != kinds[1]:
        changes.append(Change(kind="replaced", words=f"replaced: {kinds[0]} by {kinds[1]}"))
    changes += _width(before, after)
    old, new = before.number_format, after.number_format
    if old != new and old and new:
        if new.startswith("int"):
            changes.append(Change(kind="quantized", words=f"quantized: {old} to {new}"))
        else:
            changes.append(Change(kind="reformatted", words=f"number format: {old} to {new}"))
    if not changes and before.weights and after.weights and before.weights != after.weights:
        zeros = f", {after.zeros:.0%} of them zero" if after.zeros > before.zeros + _MORE_ZEROS else ""
        changes.append(Change(kind="weights", words=f"other weights of the same form{zeros}"))
    return tuple(changes)


def _width(before: GraphLayer, after: GraphLayer) -> list[Change]:
    """Say that a layer became narrower or wider: what it gives counts, else what it takes."""
    unit = "channels" if before.family == _CONVOLUTION else "features"
    sizes = (("{old} to {new}", before.width, after.width), ("takes {old} to {new}", before.inputs, after.inputs))
    for words, old, new in sizes:
        if old is None or new is None or old == new:
            continue
        text = f"{words.format(old=old, new=new)} {unit}"
        if new < old:
            return [Change(kind="narrowed", words=f"narrowed: {text}")]
        return [Change(kind="widened", words=f"widened: {text}")]
    return []


def fused_hosts(matches: Sequence[Match], before: Sequence[GraphLayer], after: Sequence[GraphLayer]) -> dict[int, int]:
    """Layers of the second file that hand on the very value of a layer of the first which they lack, by position.

    A quantizer takes a ReLU out where the range of the int8 numbers ends at zero, and keeps the name of its value.
    """
    places = {layer.output: place for place, layer in enumerate(after) if layer.output}
    return {
        match.before: places[before[match.before].output]
        for match in matches
        if match.before is not None and match.after is None and before[match.before].output in places
    }
