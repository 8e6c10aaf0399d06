"""Make the rows of a comparison: each layer as both files have it, what became of it, how far its outputs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.graphs.matching import Match, changes_of, layer_kind
from pipeline.inspection.graph_comparison import Change, LayerRow, LayerSide, LayerTime
from pipeline.inspection.layers import GraphLayer
from pipeline.measure.layer_times import Difference

# An output differs where its largest difference is more than this share of its largest value. Two exports of one
# network differ by some 1e-6 of it.
_ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class RowSide:
    """What rows say of one of the files.

    Args:
        layers: its layers.
        names: a name for each.
        times: measured time by position; of layers that cannot be told apart, at the first.
        timed_with: name of the layer whose time holds that of another one, by position of the other one.
        macs: multiply-accumulates of all layers; None where unknown.
        blocks: modules that hold others.
    """

    layers: Sequence[GraphLayer]
    names: Sequence[str]
    times: Mapping[int, LayerTime]
    timed_with: Mapping[int, str]
    macs: int | None
    blocks: frozenset[str]


def make_row(
    before: RowSide, after: RowSide, match: Match, hosts: Mapping[int, int], differences: Mapping[int, Difference]
) -> LayerRow:
    """Make the row of a layer.

    Args:
        before: the first file.
        after: the second file.
        match: positions of the layer.
        hosts: layers of the second file that some of the first are fused into, by position.
        differences: differences of outputs, by position in the first file.
    """
    old = None if match.before is None else before.layers[match.before]
    new = None if match.after is None else after.layers[match.after]
    kinds = (
        "" if old is None else layer_kind(old, new, before.blocks),
        "" if new is None else layer_kind(new, old, after.blocks),
    )
    difference = Difference() if match.before is None else differences.get(match.before, Difference())
    host = None if match.before is None else hosts.get(match.before)
    guest = next((one for one, host in hosts.items() if host == match.after), None)
    if guest is not None and differences:
        difference = Difference(reason=f"its output is that of {before.names[guest]}, which is fused into it")
    changes = _changes(old, new, kinds, "" if host is None else after.names[host])
    if difference.largest is not None and not _apart(difference.largest, difference.value):
        # Exporters fold constants in another order, and round otherwise.
        changes = tuple(change for change in changes if change.kind != "weights")
    return LayerRow(
        name=_name(before, after, match),
        before=_layer_side(before, match.before, kinds[0]),
        after=_layer_side(after, match.after, kinds[1]),
        changes=changes,
        largest_difference=difference.largest,
        largest_value=difference.value,
        difference_note=difference.reason,
    )


def with_first(rows: Sequence[LayerRow]) -> tuple[LayerRow, ...]:
    """Mark the first row that differs."""
    first = next((place for place, row in enumerate(rows) if row.changes or _differs(row)), None)
    return tuple(row.model_copy(update={"first": True}) if place == first else row for place, row in enumerate(rows))


def _differs(row: LayerRow) -> bool:
    return row.largest_difference is not None and _apart(row.largest_difference, row.largest_value)


def _apart(difference: float, value: float | None) -> bool:
    """Whether outputs differ by more than rounding."""
    return difference > _ROUNDING * (value or 0.0)


def _changes(old: GraphLayer | None, new: GraphLayer | None, kinds: tuple[str, str], host: str) -> tuple[Change, ...]:
    if old is None:
        return (Change(kind="added", words="added"),)
    if new is None:
        words = Change(kind="fused", words=f"fused into {host}") if host else Change(kind="removed", words="removed")
        return (words,)
    return changes_of(old, new, kinds)


def _name(before: RowSide, after: RowSide, match: Match) -> str:
    if match.before is not None:
        return before.names[match.before]
    assert match.after is not None
    return after.names[match.after]


def _layer_side(side: RowSide, place: int | None, kind: str) -> LayerSide | None:
    if place is None:
        return None
    layer = side.layers[place]
    return LayerSide(
        kind=kind,
        operators=layer.operators,
        shape=None if layer.shape is None else layer.shape[1:],
        channels=layer.width,
        parameters=layer.parameters,
        macs=layer.macs,
        compute_share=None if layer.macs is None or not side.macs else layer.macs / side.macs,
        number_format=layer.number_format,
        time=side.times.get(place),
        timed_with=side.timed_with.get(place, ""),
    )
