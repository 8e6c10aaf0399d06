"""ONNX graphs with the metadata that torch's exporter writes, and with the nodes that a quantizer puts in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline.inspection.layers import GraphLayer


def scoped(operator: str, inputs: list[str], output: str, module: str, kind: str) -> onnx.NodeProto:
    """A node with the metadata that torch's exporter writes."""
    node = helper.make_node(operator, inputs, [output])
    for key, value in (("name_scopes", ["", module, output]), ("class_hierarchy", ["Net", f"torch.nn.{kind}", "aten"])):
        node.metadata_props.add(key=f"pkg.torch.onnx.{key}", value=str(value))
    return node


def model(nodes: list[onnx.NodeProto], constants: Mapping[str, NDArray[Any]]) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def static() -> onnx.ModelProto:
    """A product, a pool that works on int8, and an activation in float, as ONNX Runtime's quantizer writes them."""

    def around(value: str) -> list[onnx.NodeProto]:
        return [
            helper.make_node("QuantizeLinear", [value, "scale", "zero"], [f"{value}_int"]),
            helper.make_node("DequantizeLinear", [f"{value}_int", "scale", "zero"], [f"{value}_back"]),
        ]

    nodes = [
        helper.make_node("DequantizeLinear", ["fc.weight_quantized", "scale", "zero"], ["fc.weight"]),
        *around("x"),
        scoped("MatMul", ["x_back", "fc.weight"], "y", "fc", "Linear"),
        *around("y"),
        scoped("Identity", ["y_back"], "p", "pool", "MaxPool2d"),
        *around("p"),
        scoped("Sigmoid", ["p_back"], "z", "act", "Sigmoid"),
    ]
    constants: dict[str, NDArray[Any]] = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "fc.weight_quantized": np.ones((4, 4), np.int8),
    }
    made = model(nodes, constants)
    made.graph.output[0].name = "z"
    return made


def layer(module: str, operator: str = "Relu", **facts: object) -> GraphLayer:
    """A layer of which only some facts count."""
    usual = {
        "class_name": "",
        "nodes": (0,),
        "helpers": frozenset(),
        "operators": (operator,),
        "output": module,
        "handed_on": module,
        "shape": (1, 8),
        "parameters": 0,
        "macs": 0,
        "number_format": "fp32",
        "width": None,
        "inputs": None,
        "weights": "",
        "zeros": 0.0,
    }
    return GraphLayer(module=module, **{**usual, **facts})  # type: ignore[arg-type]
