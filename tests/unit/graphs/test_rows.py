"""A row says what became of a layer, and the first one that differs is marked."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.graphs.matching import blocks_of, fused_hosts, match_layers
from pipeline.graphs.rows import RowSide, make_row, with_first
from pipeline.inspection.graph_comparison import LayerRow
from pipeline.inspection.layers import GraphLayer
from pipeline.measure.layer_times import Difference
from tests.layered_graphs import layer


def rows(
    before: Sequence[GraphLayer], after: Sequence[GraphLayer], differences: dict[int, Difference]
) -> tuple[LayerRow, ...]:
    sides = [
        RowSide(
            layers=layers,
            names=[one.module for one in layers],
            times={},
            timed_with={},
            macs=None,
            blocks=blocks_of(layers),
        )
        for layers in (before, after)
    ]
    matches = match_layers(before, after)
    hosts = fused_hosts(matches, before, after)
    return with_first([make_row(sides[0], sides[1], match, hosts, differences) for match in matches])


def test_weights_that_change_no_output_beyond_rounding_are_the_same() -> None:
    before, after = ([layer(name, "Gemm", weights=f"{name}{side}") for name in "ab"] for side in (1, 2))
    near, far = Difference(largest=1e-6, value=1.0), Difference(largest=1e-3, value=1.0)
    found = rows(before, after, {0: near, 1: far})
    assert [[change.kind for change in row.changes] for row in found] == [[], ["weights"]]
    assert [row.first for row in found] == [False, True]


def test_an_output_beyond_rounding_is_a_first_difference_too() -> None:
    layers = [layer("a"), layer("b"), layer("c")]
    differences = {
        0: Difference(largest=0.0, value=0.0),
        1: Difference(largest=0.5, value=2.0),
        2: Difference(largest=0.5, value=2.0),
    }
    assert [row.first for row in rows(layers, layers, differences)] == [False, True, False]


def test_no_row_is_first_where_nothing_differs() -> None:
    layers = [layer("a"), layer("b")]
    assert not any(row.first for row in rows(layers, layers, {}))


def test_the_output_of_two_fused_layers_is_compared_once() -> None:
    before = [layer("conv", "Conv", output="conv"), layer("act", output="act")]
    after = [layer("conv", "Conv", output="act")]
    convolution, activation = rows(before, after, {1: Difference(largest=0.25, value=1.0)})
    assert convolution.largest_difference is None
    assert convolution.difference_note == "its output is that of act, which is fused into it"
    assert (activation.largest_difference, activation.after) == (0.25, None)
    assert [change.words for change in activation.changes] == ["fused into conv"]
