"""A node of an optimized graph stands for the layers in it, whatever ONNX Runtime calls it."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from pipeline.graphs.attribution import group_times
from pipeline.inspection.layers import graph_layers
from pipeline.measure.layer_times import NodeTime
from tests.layered_graphs import static


def test_names_of_neighbours_do_not_move_time_to_them() -> None:
    """The names are those that ONNX Runtime 1.30 gives to a residual block: the sum has the name of its convolution."""
    nodes = [
        node("Conv", ["x", "w1"], ["r1_blocked"], 40, name="r1_nchwc", activation="Relu"),
        node("Conv", ["r1_blocked", "w2", "", "x"], ["r2_blocked"], 30, name="c2_nchwc", activation="Relu"),
        node("Conv", ["r2_blocked", "w3"], ["c3_blocked"], 20, name="c3_nchwc"),
        node("ReorderOutput", ["c3_blocked"], ["c3"], 5, name="ReorderOutput"),
        node("GlobalAveragePool", ["c3"], ["y"], 3, name="pool"),
    ]
    assert told(residual(), nodes) == (
        [(["c1", "r1"], 40.0), (["c2", "a2", "r2"], 30.0), (["c3"], 20.0), (["y"], 3.0)],
        5.0,
    )


def test_a_node_in_parts_adds_up_and_groups_that_share_a_layer_are_one() -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], 10, name="c1"),
        node("FusedNode", ["c1", "w2", "x"], ["a2"], 20, name="anything"),
        node("Relu", ["a2"], ["r2"], 1, name="r2"),
        node("Conv", ["r2", "w3"], ["c3"], 5, name="c3"),
        node("GlobalAveragePool", ["c3"], ["y"], 3, name="pool"),
    ]
    groups, rest = told(residual(), nodes)
    assert groups == [(["c1"], 10.0), (["r1", "c2", "a2"], 20.0), (["r2"], 1.0), (["c3"], 5.0), (["y"], 3.0)]
    assert rest == 0


def test_an_integer_convolution_named_after_a_node_stands_for_its_layer_and_not_for_what_follows() -> None:
    nodes = [
        node("Transpose", ["x"], ["turned"], 2, name="Transpose"),
        node("QLinearConv", ["turned", "s", "z", "w1", "s", "z", "s", "z"], ["first"], 50, name="conv_1_token_3"),
        node("NhwcMaxPool", ["first"], ["second"], 7, name="relu_1_token_5"),
    ]
    groups, rest = told(residual(), nodes)
    assert groups == [(["c1"], 50.0), (["r1"], 7.0)]
    assert rest == 2.0


def test_a_node_whose_input_is_unknown_stands_for_what_no_node_before_it_stands_for() -> None:
    nodes = [
        node("Conv", ["x", "w1"], ["r1"], 10, name="c1"),
        node("SomethingNew", ["mystery"], ["c3"], 20, name="anything"),
    ]
    assert told(residual(), nodes)[0] == [(["c1", "r1"], 10.0), (["c2", "a2", "r2", "c3"], 20.0)]


def test_what_prepares_the_next_layer_does_not_join_it_with_the_one_before() -> None:
    """ONNX Runtime takes the quantization of an output into the product; the file's own nodes count it to the next."""
    nodes = [
        node("QuantizeLinear", ["x"], ["x_int"], 4, name="x_QuantizeLinear"),
        node("QLinearMatMul", ["x_int", "scale", "zero", "fc.weight_quantized"], ["y_int"], 50, name="fc"),
        node("MaxPool", ["y_int"], ["p_int"], 6, name="pool"),
        node("DequantizeLinear", ["p_int"], ["p_back"], 1, name="p_DequantizeLinear"),
        node("Sigmoid", ["p_back"], ["z"], 3, name="act"),
    ]
    assert told(static(), nodes) == ([(["y"], 54.0), (["p"], 6.0), (["z"], 4.0)], 0.0)


def node(
    operator: str, inputs: list[str], outputs: list[str], microseconds: float, *, name: str, activation: str = ""
) -> NodeTime:
    return NodeTime(
        name=name,
        operator=operator,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        microseconds=microseconds,
        activation=activation,
    )


def told(model: onnx.ModelProto, nodes: list[NodeTime]) -> tuple[list[tuple[list[str], float]], float]:
    """Groups by the outputs of their layers, with their times, and the rest."""
    layers = graph_layers(model)
    groups, rest = group_times(model, layers, nodes)
    return [([layers[place].output for place in group.layers], group.microseconds) for group in groups], rest


def residual() -> onnx.ModelProto:
    weights = {f"w{number}": np.ones((4, 4, 1, 1), np.float32) for number in (1, 2, 3)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "w1"], ["c1"], name="conv_1"),
            helper.make_node("Relu", ["c1"], ["r1"], name="relu_1"),
            helper.make_node("Conv", ["r1", "w2"], ["c2"], name="conv_2"),
            helper.make_node("Add", ["c2", "x"], ["a2"], name="add_2"),
            helper.make_node("Relu", ["a2"], ["r2"], name="relu_2"),
            helper.make_node("Conv", ["r2", "w3"], ["c3"], name="conv_3"),
            helper.make_node("GlobalAveragePool", ["c3"], ["y"], name="pool"),
        ],
        "residual",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
