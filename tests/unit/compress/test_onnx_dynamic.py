from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pipeline.compress.onnx_dynamic import quantize_file
from pipeline.errors import FileError, UsageError

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def convolution_file(path: Path) -> Path:
    graph = helper.make_graph(
        [helper.make_node("Conv", ["values", "kernel"], ["logits"], name="conv")],
        "convolution",
        [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 1, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 1, 2, 2])],
        [numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "kernel")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_only_linear_layers_are_quantized(exported: Exported) -> None:
    operators = [node.op_type for node in onnx.load(exported.folder / "int8.onnx").graph.node]
    assert operators.count("Conv") == 2
    assert operators.count("MatMulInteger") == 2
    assert not {"ConvInteger", "Gemm", "MatMul"} & set(operators)


def test_weights_have_7_bits_and_a_scale_per_channel(exported: Exported) -> None:
    tensors = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in onnx.load(exported.folder / "int8.onnx").graph.initializer
    }
    weights = [value for name, value in tensors.items() if name.endswith(".weight_quantized")]
    assert [weight.shape for weight in weights] == [(3136, 512), (512, 10)]
    assert all(weight.dtype == np.int8 and np.abs(weight.astype(int)).max() <= 64 for weight in weights)
    scales = [value for name, value in tensors.items() if name.endswith(".weight_scale")]
    assert [scale.shape for scale in scales] == [(512,), (10,)]


def test_it_touches_what_torch_touches(exported: Exported) -> None:
    ours, torchs = exported.reports["int8.onnx"], exported.reports["int8.pt"]
    assert ours.parameters == torchs.parameters == 1_630_090
    assert ours.weight_share == torchs.weight_share
    assert ours.compute_share == torchs.compute_share
    assert [(layer.name, layer.touched) for layer in ours.layers] == [
        (layer.name, layer.touched) for layer in torchs.layers
    ]


def test_the_same_file_gives_the_same_bytes(exported: Exported, tmp_path: Path) -> None:
    source = exported.folder / "float.onnx"
    before = source.read_bytes()
    quantize_file(source, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (exported.folder / "int8.onnx").read_bytes()
    assert source.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["again.onnx"]


def test_the_file_is_a_quarter_of_the_float_one(exported: Exported) -> None:
    sizes = {name: (exported.folder / name).stat().st_size for name in ("float.onnx", "int8.onnx")}
    assert 3.5 < sizes["float.onnx"] / sizes["int8.onnx"] < 4


def test_a_file_without_linear_layers_is_refused(tmp_path: Path) -> None:
    source = convolution_file(tmp_path / "conv.onnx")
    with pytest.raises(
        UsageError, match="expected at least one MatMul or Gemm with constant weights, found weights in: Conv"
    ):
        quantize_file(source, tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(FileError, match=r"bad\.onnx: expected an ONNX file, found: "):
        quantize_file(tmp_path / "bad.onnx", tmp_path / "int8.onnx")
