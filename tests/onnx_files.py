"""Small ONNX files, made node by node."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pipeline._handlers.decode import InputSpec

VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-4.0, high=4.0)
LOGITS = {"logits": TensorProto.FLOAT}


def one_operator(path: Path, operator: str, *constants: float) -> Path:
    graph = helper.make_graph(
        [helper.make_node(operator, ["values", *["constant"][: len(constants)]], ["logits"])],
        "one",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(np.array(one, np.float32), "constant") for one in constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def graph(path: Path, nodes: list[onnx.NodeProto], outputs: Mapping[str, int], **constants: NDArray[Any]) -> Path:
    """A file that maps `values` (batch, 3) to outputs of given element types."""
    made = helper.make_graph(
        nodes,
        "few",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def shaped(file: Path, *shape: int | str) -> Path:
    """Say the shape of the output, without which ONNX's checker takes no file."""
    model = onnx.load(file)
    kind = model.graph.output[0].type.tensor_type
    value = helper.make_tensor_value_info("logits", kind.elem_type, ["batch", *(shape or (3,))])
    model.graph.output[0].CopyFrom(value)
    onnx.save(model, file)
    return file


def change_initializer(file: Path, initializer: str, change: float) -> None:
    """Add to the first value of one initializer of a file."""
    model = onnx.load(file)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == initializer)
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[0] += change
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, file)


def freeze_batch(file: Path) -> None:
    """Let a file take one example at a time."""
    model = onnx.load(file)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, file)
