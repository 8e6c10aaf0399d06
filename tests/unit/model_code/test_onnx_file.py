"""ONNX files are data; a file that is more than data is refused."""

from __future__ import annotations

import onnx
import pytest
from onnx import TensorProto, helper

from pipeline.errors import FileError
from pipeline.model_code.onnx_file import check_onnx


def model(operator: str, domain: str, *, functions: list[onnx.FunctionProto] | None = None) -> bytes:
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node(operator, ["x"], ["y"], domain=domain)],
        "graph",
        [value("x", TensorProto.FLOAT, ["batch"])],
        [value("y", TensorProto.FLOAT, ["batch"])],
    )
    document = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], functions=functions or [])
    return bytes(document.SerializeToString())


def test_operators_of_onnx_of_onnx_runtime_and_of_the_file_itself() -> None:
    check_onnx("a.onnx", model("Relu", ""))
    check_onnx("a.onnx", model("Gelu", "com.microsoft"))
    opset = helper.make_opsetid("", 20)
    relu = helper.make_function("mine", "Twice", ["x"], ["y"], [helper.make_node("Relu", ["x"], ["y"])], [opset])
    check_onnx("a.onnx", model("Twice", "mine", functions=[relu]))


def test_an_operator_of_another_library() -> None:
    with pytest.raises(FileError) as caught:
        check_onnx("a.onnx", model("Harm", "mine"))
    assert str(caught.value) == (
        "a.onnx: expected operators of ONNX and ONNX Runtime, found mine::Harm: it needs a library of its own; "
        "nothing of it was loaded; give --allow-operator mine::Harm if you know who made it and why it needs that"
    )
    check_onnx("a.onnx", model("Harm", "mine"), allowed_operators=["mine::Harm"])


def test_an_operator_of_another_library_inside_a_function() -> None:
    inner = [helper.make_node("Harm", ["x"], ["y"], domain="other")]
    function = helper.make_function("mine", "Twice", ["x"], ["y"], inner, [helper.make_opsetid("other", 1)])
    with pytest.raises(FileError, match="found other::Harm"):
        check_onnx("a.onnx", model("Twice", "mine", functions=[function]))


def test_an_operator_of_another_library_beside_a_function_of_the_same_domain() -> None:
    opset = helper.make_opsetid("", 20)
    relu = [helper.make_node("Relu", ["x"], ["y"])]
    function = helper.make_function("mine", "Twice", ["x"], ["y"], relu, [opset])
    with pytest.raises(FileError, match="found mine::Harm"):
        check_onnx("a.onnx", model("Harm", "mine", functions=[function]))
    overloaded = helper.make_function("mine", "Harm", ["x"], ["y"], relu, [opset], overload="other")
    with pytest.raises(FileError, match="found mine::Harm"):
        check_onnx("a.onnx", model("Harm", "mine", functions=[overloaded]))
