"""Layers of two files are paired by their names, in order, and what became of each is said in words."""

from __future__ import annotations

import pytest

from pipeline.graphs.matching import Match, changes_of, fused_hosts, layer_kind, layer_names, match_layers
from tests.layered_graphs import layer


def pairs(matches: tuple[Match, ...]) -> list[tuple[int | None, int | None]]:
    return [(match.before, match.after) for match in matches]


def test_what_one_file_lacks_stands_between_what_both_have() -> None:
    before = [layer("network.a", "Conv"), layer("network.drop", "Identity"), layer("network.b", "Gemm")]
    after = [layer("a", "Conv"), layer("gate", "Sigmoid"), layer("b", "Gemm"), layer("c")]
    assert pairs(match_layers(before, after)) == [(0, 0), (1, None), (None, 1), (2, 2), (None, 3)]


def test_a_layer_between_two_that_match_may_have_another_name() -> None:
    before = [layer("a", "Conv"), layer("relu_1"), layer("b", "Gemm")]
    after = [layer("a", "Conv"), layer("relu"), layer("b", "Gemm")]
    assert pairs(match_layers(before, after)) == [(0, 0), (1, 1), (2, 2)]


def test_files_whose_names_do_not_agree_are_paired_by_what_layers_do() -> None:
    before = [layer("one", "Conv"), layer("two"), layer("three", "Gemm")]
    after = [layer("x", "ConvInteger"), layer("y"), layer("z", "MatMulInteger")]
    assert pairs(match_layers(before, after)) == [(0, 0), (1, 1), (2, 2)]


def test_no_two_layers_have_the_same_name_and_a_block_tells_its_operator() -> None:
    layers = [layer("block.fc", "Gemm"), layer("block", "Add"), layer("act"), layer("fc"), layer("act"), layer("")]
    assert layer_names(layers) == ("block.fc", "block: Add", "act", "fc", "act (2)", "network: Relu")


def test_a_layer_without_a_class_is_what_its_counterpart_is() -> None:
    integer = layer("fc", "MatMulInteger")
    assert layer_kind(integer, layer("fc", "Gemm", class_name="Linear"), {""}) == "Linear"
    assert layer_kind(integer, layer("fc", "Relu", class_name="ReLU"), {""}) == "MatMulInteger"


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"width": 64}, {"width": 16}, ["narrowed: 64 to 16 channels"]),
        ({"width": 8, "inputs": 4}, {"width": 8, "inputs": 6}, ["widened: takes 4 to 6 channels"]),
        (
            {"width": 8, "number_format": "fp32"},
            {"width": 4, "number_format": "int8"},
            ["narrowed: 8 to 4 channels", "quantized: fp32 to int8"],
        ),
        ({"number_format": "fp32"}, {"number_format": "bf16"}, ["number format: fp32 to bf16"]),
        ({"weights": "a"}, {"weights": "b"}, ["other weights of the same form"]),
        (
            {"weights": "a", "zeros": 0.01},
            {"weights": "b", "zeros": 0.3},
            ["other weights of the same form, 30% of them zero"],
        ),
        ({"weights": "a"}, {"weights": "a"}, []),
    ],
)
def test_what_became_of_a_layer(before: dict[str, object], after: dict[str, object], words: list[str]) -> None:
    changes = changes_of(layer("c", "Conv", **before), layer("c", "Conv", **after), ("Conv2d", "Conv2d"))
    assert [change.words for change in changes] == words


def test_another_kind_of_layer_is_a_replacement_and_another_operator_of_the_same_kind_is_none() -> None:
    assert not changes_of(layer("c", "Gemm"), layer("c", "MatMul"), ("Gemm", "MatMul"))
    [change] = changes_of(layer("c", "Gemm"), layer("c", "Conv"), ("Linear", "Conv2d"))
    assert change.words == "replaced: Linear by Conv2d"


def test_a_layer_whose_very_value_another_one_gives_is_fused_into_that() -> None:
    before = [layer("conv", "Conv", output="conv"), layer("act", output="act"), layer("drop", output="drop")]
    after = [layer("conv", "Conv", output="act")]
    assert fused_hosts(match_layers(before, after), before, after) == {1: 0}
