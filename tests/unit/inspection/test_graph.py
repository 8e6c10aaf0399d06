from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from pipeline.inspection.graph import graph_cost


def model_of(
    nodes: Sequence[NodeProto], constants: Mapping[str, tuple[int, ...]], shape: Sequence[int | str]
) -> onnx.ModelProto:
    """A graph from `x` of a shape to `y` of any shape."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(dims, np.float32), name) for name, dims in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize(
    ("node", "constants", "shape", "macs", "parameters"),
    [
        (helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1), {"w": (5, 3), "b": (5,)}, (3,), 15, 20),
        (helper.make_node("MatMul", ["x", "w"], ["y"]), {"w": (3, 5)}, (4, 3), 4 * 3 * 5, 15),
        (
            helper.make_node("Conv", ["x", "w", "b"], ["y"], pads=[1, 1, 1, 1]),
            {"w": (4, 2, 3, 3), "b": (4,)},
            (2, 6, 5),
            4 * 6 * 5 * 2 * 9,
            76,
        ),
        (helper.make_node("Conv", ["x", "w"], ["y"], group=4), {"w": (4, 1, 3, 3)}, (4, 5, 5), 4 * 9 * 9, 36),
        (helper.make_node("ConvTranspose", ["x", "w"], ["y"]), {"w": (2, 3, 2, 2)}, (2, 4, 4), 2 * 16 * 3 * 4, 24),
        (
            helper.make_node("LSTM", ["x", "w", "r", "b"], ["y"], hidden_size=5, layout=1),
            {"w": (1, 20, 3), "r": (1, 20, 5), "b": (1, 40)},
            (6, 3),
            6 * 20 * (3 + 5),
            60 + 100 + 40,
        ),
    ],
    ids=["gemm", "matmul", "conv", "depthwise", "transposed", "lstm"],
)
def test_cost_of_an_operator(
    node: NodeProto, constants: dict[str, tuple[int, ...]], shape: tuple[int, ...], macs: int, parameters: int
) -> None:
    cost = graph_cost(model_of([node], constants, ["batch", *shape]))
    assert (cost.macs, sum(cost.parameters.values())) == (macs, parameters)


def test_preprocessing_constants_do_not_count_and_biases_behind_weights_do() -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["centered"]),
        helper.make_node("Div", ["centered", "std"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "weight"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["biased"]),
        helper.make_node("Mul", ["biased", "half"], ["y"]),
    ]
    constants: dict[str, tuple[int, ...]] = {"mean": (3,), "std": (3,), "weight": (3, 5), "bias": (5,), "half": ()}
    assert graph_cost(model_of(nodes, constants, ["batch", 3])).parameters == {"weight": 15, "bias": 5}


def test_running_statistics_are_measured_and_not_learned() -> None:
    node = helper.make_node("BatchNormalization", ["x", "scale", "bias", "mean", "variance"], ["y"])
    constants: dict[str, tuple[int, ...]] = dict.fromkeys(("scale", "bias", "mean", "variance"), (3,))
    assert graph_cost(model_of([node], constants, ["batch", 3, 4])).parameters == {"scale": 3, "bias": 3}


def test_a_product_of_activations_costs_but_holds_nothing() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["x", "turned"], ["y"]),
    ]
    cost = graph_cost(model_of(nodes, {}, ["batch", 4, 3]))
    assert (cost.macs, cost.parameters) == (4 * 4 * 3, {})


def test_weights_in_constant_nodes_count() -> None:
    weight = numpy_helper.from_array(np.ones((3, 5), np.float32), "w")
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weight),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    assert graph_cost(model_of(nodes, {}, ["batch", 3])).parameters == {"w": 15}


def test_a_shape_that_does_not_follow_is_unknown_and_not_zero() -> None:
    cost = graph_cost(model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": (3, 5)}, ["batch", "rows", 3]))
    assert cost.macs is None
    assert cost.parameters == {"w": 15}


def test_the_model_is_left_as_it_was() -> None:
    model = model_of([helper.make_node("MatMul", ["x", "w"], ["y"])], {"w": (3, 5)}, ["batch", 3])
    before = model.SerializeToString(deterministic=True)
    graph_cost(model)
    assert model.SerializeToString(deterministic=True) == before
