from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from torch import Tensor, nn

from handlers.compare import FLOAT32, INT8_DYNAMIC, Tolerance
from handlers.decode import InputSpec
from handlers.serving import RuntimeSpec
from pipeline.errors import ProofError
from pipeline.verify.parity import ParityReport, check_parity, require, synthetic_inputs
from pipeline.verify.reference import Reference, module_reference, unoptimized_reference

if TYPE_CHECKING:
    from tests.unit.conftest import Exported

VALUES = InputSpec(name="values", dtype="float32", shape=(3,), low=-4.0, high=4.0)


def check(
    exported: Exported, file: Path, reference: Reference, tolerance: Tolerance, scratch: Path, **changes: Any
) -> ParityReport:
    arguments: dict[str, Any] = {
        "candidate": f"test.{file.name}",
        "file": file,
        "runtime": RuntimeSpec(kind="onnxruntime" if file.suffix == ".onnx" else "torchscript", file=file.name),
        "reference": reference,
        "inputs": exported.inputs,
        "samples": exported.samples,
        "tolerance": tolerance,
        "scratch": scratch,
    }
    return check_parity(**arguments | changes)


def test_an_export_reproduces_its_module(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path)
    require(report)
    # 4 kinds, 4 batch sizes, 2 calls
    assert len(report.checks) == 32
    assert {one.inputs for one in report.checks} == {"real", "zeros", "maximum", "noise"}
    assert {(one.batch_size, one.call) for one in report.checks} == {(b, c) for b in (1, 2, 7, 32) for c in (1, 2)}
    assert report.worst is not None
    assert report.worst.strain < 0.1, "far inside its limit, or the limit hides nothing"
    assert report.batch_invariant
    assert list(tmp_path.iterdir()) == []
    assert json.loads(json.dumps(report.to_json()))["passed"] is True


def test_torchscript_reproduces_its_module(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.pt", reference, FLOAT32, tmp_path)
    require(report)
    assert report.batch_invariant


def test_dynamic_int8_is_held_against_its_own_source_and_marked(exported: Exported, tmp_path: Path) -> None:
    file = exported.folder / "int8.onnx"
    report = check(exported, file, unoptimized_reference(file, exported.inputs), INT8_DYNAMIC, tmp_path)
    require(report)
    assert report.reference == "the same file with graph optimizations off"
    assert not report.batch_invariant
    assert report.batch_difference > 1e-3


def test_torchs_dynamic_int8_is_held_against_its_own_module_and_marked(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.quantized, exported.inputs)
    report = check(exported, exported.folder / "int8.pt", reference, INT8_DYNAMIC, tmp_path)
    require(report)
    assert not report.batch_invariant


def test_int8_does_not_pass_for_float(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    assert not check(exported, exported.folder / "int8.onnx", reference, FLOAT32, tmp_path).passed


def test_a_changed_bias_is_one_line_with_both_values_and_the_limit(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.folder / "float.onnx")
    bias = next(one for one in model.graph.initializer if list(one.dims) == [10])
    values = numpy_helper.to_array(bias).copy()
    values[3] += 0.01
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, tmp_path / "changed.onnx")
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, tmp_path / "changed.onnx", reference, FLOAT32, tmp_path)
    pattern = (
        r"^test\.changed\.onnx: parity with its torch module failed on (real|zeros|maximum|noise) inputs at batch size "
        r"\d+, call [12]: at \[\d+, 3\]: expected \S+, found \S+, difference 0\.01, limit 0\.0001\S* "
        r"\(32 of 32 checks failed\); .*$"
    )
    with pytest.raises(ProofError, match=pattern):
        require(report)


def test_a_batch_axis_frozen_at_one(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.folder / "float.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "frozen.onnx")
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, tmp_path / "frozen.onnx", reference, FLOAT32, tmp_path)
    assert not report.passed
    with pytest.raises(
        ProofError,
        match=r"test\.frozen\.onnx: parity with its torch module: .*cannot be replayed.*batch size 2, run real.*Got: 2",
    ):
        require(report)


def test_a_file_that_is_not_there(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, tmp_path / "missing.onnx", reference, FLOAT32, tmp_path)
    assert not report.passed
    assert report.worst is None
    assert "missing.onnx cannot be replayed" in report.to_json()["error"]


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


class Reciprocal(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return torch.reciprocal(values)


def test_nan_and_infinity_never_pass_even_where_both_give_them(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((8, 3), np.float32)}, samples)
    file = one_operator(tmp_path / "reciprocal.onnx", "Reciprocal")
    reference = module_reference(Reciprocal().eval(), (VALUES,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(VALUES,), samples=samples)
    failed = {one.inputs for one in report.checks if not one.comparison.passed}
    assert failed == {"zeros"}
    with pytest.raises(ProofError, match=r"on zeros inputs .* value at \[0, 0\] is inf"):
        require(report)


def test_another_number_of_outputs_never_passes(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((8, 3), np.float32)}, samples)
    file = one_operator(tmp_path / "relu.onnx", "Relu")
    reference = module_reference(nn.Linear(3, 4).eval(), (VALUES,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(VALUES,), samples=samples)
    assert not any(one.comparison.passed for one in report.checks)
    with pytest.raises(ProofError, match=r"shape: expected \[\d+, 4\], found \[\d+, 3\]"):
        require(report)


def test_batch_size_one_is_always_among_them(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path, batch_sizes=(5,), calls=1)
    assert sorted({one.batch_size for one in report.checks}) == [1, 5]


def test_nothing_compared_is_not_a_pass() -> None:
    report = ParityReport(candidate="empty", reference="its torch module", tolerance=FLOAT32, checks=())
    assert not report.passed
    with pytest.raises(ProofError, match="empty: parity with its torch module: nothing was compared"):
        require(report)


def test_the_worst_check_is_a_failed_one(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path, batch_sizes=(1,))
    broken = replace(report.checks[3], comparison=replace(report.checks[3].comparison, passed=False))
    mixed = replace(report, checks=(*report.checks[:3], broken, *report.checks[4:]))
    assert mixed.worst is broken


def test_synthetic_inputs_keep_to_the_domain() -> None:
    specs = (
        InputSpec(name="image", dtype="uint8", shape=(1, 2, 2), low=0, high=255),
        InputSpec(name="token", dtype="int64", shape=(5,), low=1, high=9),
        InputSpec(name="free", dtype="float32", shape=(2,), low=-np.inf, high=np.inf),
    )
    real: dict[str, NDArray[Any]] = {
        "image": np.zeros((4, 1, 2, 2), np.uint8),
        "token": np.ones((4, 5), np.int64),
        "free": np.array([[-1.5, 2.5]], np.float32),
    }
    kinds = synthetic_inputs(specs, real, 6)
    for arrays in kinds.values():
        for one in specs:
            assert arrays[one.name].shape == (6, *one.shape)
            assert arrays[one.name].dtype == one.dtype
    assert set(kinds["zeros"]["token"].ravel()) == {1}, "zero is outside the domain: its nearest value"
    assert set(kinds["maximum"]["image"].ravel()) == {255}
    assert set(kinds["maximum"]["free"].ravel()) == {2.5}
    assert 1 <= kinds["noise"]["token"].min() <= kinds["noise"]["token"].max() <= 9
    assert len(np.unique(kinds["noise"]["free"])) > 2
    again = synthetic_inputs(specs, real, 6)
    assert all(np.array_equal(kinds[kind][name], again[kind][name]) for kind in kinds for name in kinds[kind])
