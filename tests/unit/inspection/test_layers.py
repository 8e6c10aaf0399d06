"""A graph is read as layers under the names of the user's modules, whatever an exporter or a quantizer made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from pipeline.inspection.graph_runs import own_name
from pipeline.inspection.layers import graph_layers
from tests.layered_graphs import model, scoped, static

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

_NAMES = [
    "preprocess",
    *(f"features.{number}" for number in range(6)),
    "",
    "classifier.1",
    "classifier.2",
    "classifier.4",
]


def test_layers_have_the_users_names_kinds_and_widths(exported: Exported) -> None:
    layers = graph_layers(onnx.load(exported.folder / "float.onnx"))
    assert [own_name(layer.module) for layer in layers] == _NAMES
    by_name = {own_name(layer.module): layer for layer in layers}
    convolution, product = by_name["features.3"], by_name["classifier.4"]
    assert (convolution.class_name, convolution.family) == ("Conv2d", "convolution")
    assert (convolution.width, convolution.inputs, convolution.shape) == (64, 32, (1, 64, 14, 14))
    assert (convolution.parameters, convolution.macs) == (64 * 32 * 9 + 64, 196 * 64 * 32 * 9)
    assert (product.class_name, product.width, product.inputs) == ("Linear", 10, 512)
    assert {layer.number_format for layer in layers} == {"fp32"}
    assert sum(layer.parameters for layer in layers) == 1_630_090


def test_a_quantizer_drops_names_and_adds_nodes_and_the_layers_stay(exported: Exported) -> None:
    layers = graph_layers(onnx.load(exported.folder / "int8.onnx"))
    assert [own_name(layer.module) for layer in layers] == _NAMES
    formats = {own_name(layer.module): layer.number_format for layer in layers}
    assert {name for name, number_format in formats.items() if number_format == "int8"} == {
        "classifier.1",
        "classifier.4",
    }
    product = next(layer for layer in layers if layer.module.endswith("classifier.4"))
    assert (product.operator, product.width, product.inputs, product.output) == ("MatMulInteger", 10, 512, "logits")
    assert len(product.helpers) == len(product.nodes) - 1
    assert sum(layer.parameters for layer in layers) == 1_630_090


def test_static_int8_is_told_by_the_nodes_around_a_layer() -> None:
    layers = graph_layers(static())
    facts = [(layer.module, layer.number_format, layer.output, layer.handed_on) for layer in layers]
    assert facts == [
        ("fc", "int8", "y", "y_back"),
        ("pool", "int8", "p", "p_back"),
        ("act", "fp32", "z", "z"),
    ]


def test_a_file_of_another_exporter_has_the_names_of_its_nodes_and_weights() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "block.fc.weight"], ["h"], name="MatMul_7"),
        helper.make_node("Relu", ["h"], ["r"], name="/block/block.act/Relu"),
        helper.make_node("Add", ["r", "x"], ["s"], name="/Add"),
        helper.make_node("Sigmoid", ["s"], ["y"]),
    ]
    layers = graph_layers(model(nodes, {"block.fc.weight": np.eye(4, dtype=np.float32)}))
    assert [layer.module for layer in layers] == ["block.fc", "block.act", "/Add", "y"]


def test_attention_keeps_the_product_whose_weight_belongs_to_a_module_that_never_runs() -> None:
    nodes = [
        scoped("Mul", ["x", "x"], "a", "attention", "MultiheadAttention"),
        helper.make_node("MatMulInteger", ["a", "attention.out.weight_quantized"], ["b"]),
        scoped("Neg", ["b"], "y", "attention", "MultiheadAttention"),
    ]
    weight = np.ones((4, 4), np.int8)
    [layer] = graph_layers(model(nodes, {"attention.out.weight_quantized": weight}))
    assert (layer.module, layer.class_name, layer.number_format) == ("attention", "MultiheadAttention", "int8")


def test_zeros_among_the_weights_are_counted() -> None:
    weight = np.ones((4, 4), np.float32)
    weight[0] = 0
    [layer] = graph_layers(model([helper.make_node("MatMul", ["x", "fc.weight"], ["y"])], {"fc.weight": weight}))
    assert layer.zeros == 0.25
