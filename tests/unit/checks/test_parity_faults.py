"""Parity never lets these faulty files through, and its report names the fault."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
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

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import _quiet_torchscript
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.checks.locate.first_difference import locate
from pipeline.checks.parity_report import EVALUATOR
from pipeline.checks.reference import module_reference
from pipeline.errors import ProofError
from tests.onnx_files import LOGITS, VALUES, freeze_batch, graph, one_operator
from tests.parity_reports import check, require

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def test_a_changed_bias_is_one_line_with_both_values_and_the_limit(exported: Exported, tmp_path: Path) -> None:
    model = onnx.load(exported.folder / "float.onnx")
    bias = next(tensor for tensor in model.graph.initializer if list(tensor.dims) == [10])
    values = numpy_helper.to_array(bias).copy()
    values[3] += 0.01
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(model, tmp_path / "changed.onnx")
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, tmp_path / "changed.onnx", reference, FLOAT32, tmp_path)
    pattern = (
        r"^test\.changed\.onnx: parity with its torch module failed on (real|zeros|maximum|noise) inputs at batch size "
        r"\d+, call [12], \S.*: at \[\d+, 3\]: expected \S+, found \S+, difference 0\.01, limit \d\S+e-06 "
        r"\(68 of 68 checks failed: as served 32 of 32; with graph optimizations off 32 of 32; in onnx's reference "
        r"evaluator 4 of 4\)$"
    )
    with pytest.raises(ProofError, match=pattern):
        require(report)


def test_a_batch_axis_frozen_at_one(exported: Exported, tmp_path: Path) -> None:
    shutil.copyfile(exported.folder / "float.onnx", tmp_path / "frozen.onnx")
    freeze_batch(tmp_path / "frozen.onnx")
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


class Reciprocal(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return torch.reciprocal(values)


def test_nan_and_infinity_never_pass_even_where_both_give_them(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.array([[1, 1, 1], [2, 0, 1]], np.float32)}, samples)
    file = one_operator(tmp_path / "reciprocal.onnx", "Reciprocal")
    reference = module_reference(Reciprocal().eval(), (VALUES,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(VALUES,), samples=samples)
    failed = {check.inputs for check in report.checks if not check.comparison.passed}
    assert failed == {"real"}
    with pytest.raises(ProofError, match=r"on real inputs .* value at \[1, 1\] is inf"):
        require(report)


def test_another_number_of_outputs_never_passes(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((8, 3), np.float32)}, samples)
    file = one_operator(tmp_path / "relu.onnx", "Relu")
    reference = module_reference(nn.Linear(3, 4).eval(), (VALUES,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(VALUES,), samples=samples)
    assert not any(check.comparison.passed for check in report.checks)
    with pytest.raises(ProofError, match=r"shape: expected \[\d+, 4\], found \[\d+, 3\]"):
        require(report)


class Identity(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.clone()


@pytest.mark.parametrize(
    ("nodes", "outputs", "constants", "message"),
    [
        (
            # 0 / 0 where the input is 0
            [
                helper.make_node("Div", ["values", "values"], ["one"]),
                helper.make_node("Mul", ["one", "values"], ["logits"]),
            ],
            LOGITS,
            {},
            r"on zeros inputs .* found value at \[0, 0\] is nan",
        ),
        (
            [helper.make_node("Div", ["values", "zero"], ["logits"])],
            LOGITS,
            {"zero": np.zeros(1, np.float32)},
            r"on real inputs .* found value at \[0, 0\] is inf",
        ),
        (
            [helper.make_node("Unsqueeze", ["values", "axis"], ["logits"])],
            LOGITS,
            {"axis": np.array([2])},
            r"shape: expected \[\d+, 3\], found \[\d+, 3, 1\]",
        ),
        (
            [helper.make_node("Cast", ["values"], ["logits"], to=TensorProto.DOUBLE)],
            {"logits": TensorProto.DOUBLE},
            {},
            r"dtype: expected float32, found float64",
        ),
        (
            [helper.make_node("Identity", ["values"], ["logits"]), helper.make_node("Relu", ["values"], ["more"])],
            {"logits": TensorProto.FLOAT, "more": TensorProto.FLOAT},
            {},
            r"cannot be replayed \(onnxruntime\): ValueError: expected one output, found 2: logits, more",
        ),
    ],
    ids=["nan", "infinity", "shape", "dtype", "outputs"],
)
def test_what_no_tolerance_may_let_through(
    exported: Exported,
    tmp_path: Path,
    nodes: list[onnx.NodeProto],
    outputs: Mapping[str, int],
    constants: dict[str, NDArray[Any]],
    message: str,
) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((8, 3), np.float32)}, samples)
    endless = Tolerance(absolute=1e30, relative=1e30)
    reference = module_reference(Identity().eval(), (VALUES,))
    arguments: dict[str, Any] = {"inputs": (VALUES,), "samples": samples, "batch_sizes": (1, 4)}
    file = graph(tmp_path / "odd.onnx", nodes, outputs, **constants)
    report = check(exported, file, reference, endless, tmp_path, **arguments)
    assert not report.passed
    with pytest.raises(ProofError, match=message):
        require(report)
    json.dumps(report.to_json(), allow_nan=False)
    twin = graph(tmp_path / "even.onnx", [helper.make_node("Identity", ["values"], ["logits"])], LOGITS)
    require(check(exported, twin, reference, endless, tmp_path, **arguments))


def test_a_zero_that_was_expected_does_not_hide_a_difference(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.zeros((8, 3), np.float32)}, samples)
    shift = {"shift": np.array([1e-3], np.float32)}
    file = graph(tmp_path / "shifted.onnx", [helper.make_node("Add", ["values", "shift"], ["logits"])], LOGITS, **shift)
    reference = module_reference(Identity().eval(), (VALUES,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(VALUES,), samples=samples, batch_sizes=(1,))
    assert report.max_relative == np.inf
    assert report.cosine == 0
    with pytest.raises(ProofError, match=r"expected 0, found 0\.001, difference 0\.001, limit 0 "):
        require(report)


class Overflowing(nn.Module):
    """A product of three factors, which fits float32 from left to right; the last two alone do not fit."""

    def forward(self, values: Tensor) -> Tensor:
        return values * 1e25 * 1e25


def test_a_fault_of_the_optimizer_is_told_from_a_fault_of_the_file(exported: Exported, tmp_path: Path) -> None:
    tiny = InputSpec(name="values", dtype="float32", shape=(3,), low=1e-26, high=1e-25)
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.full((8, 3), 5e-26, np.float32)}, samples)
    # ONNX Runtime folds the factor into the convolution's weight, which makes it infinite.
    file = graph(
        tmp_path / "folded.onnx",
        [
            helper.make_node("Reshape", ["values", "picture"], ["pixels"]),
            helper.make_node("Conv", ["pixels", "weight"], ["product"]),
            helper.make_node("Mul", ["product", "factor"], ["scaled"]),
            helper.make_node("Reshape", ["scaled", "row"], ["logits"]),
        ],
        LOGITS,
        picture=np.array([0, 1, 1, 3]),
        weight=np.full((1, 1, 1, 1), 1e25, np.float32),
        factor=np.full((1, 1, 1, 1), 1e25, np.float32),
        row=np.array([0, 3]),
    )
    reference = module_reference(Overflowing().eval(), (tiny,))
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(tiny,), samples=samples, batch_sizes=(1,))
    with pytest.raises(
        ProofError,
        match=r"call 1, as served: found value at \[0, 0\] is inf \(8 of 20 checks failed: as served 8 of 8; with "
        r"graph optimizations off 0 of 8; in onnx's reference evaluator 0 of 4\)",
    ):
        require(report)


class Tiring(nn.Module):
    """A network that answers otherwise from its eighth call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = nn.Parameter(torch.zeros(1), requires_grad=False)

    def forward(self, values: Tensor) -> Tensor:
        self.calls.add_(1)
        return values + (self.calls >= 8).to(values.dtype)


def test_torchscript_that_changes_on_its_third_call(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((2, 3), np.float32)}, samples)
    with _quiet_torchscript():
        torch.jit.save(torch.jit.script(Tiring().eval()), tmp_path / "tiring.pt")
    reference = module_reference(Identity().eval(), (VALUES,))
    arguments: dict[str, Any] = {"inputs": (VALUES,), "samples": samples, "batch_sizes": (1,)}
    report = check(exported, tmp_path / "tiring.pt", reference, FLOAT32, tmp_path, **arguments)
    failed = {check.call for check in report.checks if check.inputs == "real" and not check.comparison.passed}
    # Loading makes three calls, to compile; then two a replay.
    assert failed == {3}, [(check.call, check.comparison.reason) for check in report.checks if check.inputs == "real"]


class SoftmaxOfAll(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values.flatten(1).softmax(1)


def test_a_difference_that_only_the_reference_evaluator_shows(exported: Exported, tmp_path: Path) -> None:
    # Until opset 13, Softmax took the axes from `axis` on together; the evaluator knows the newer meaning only.
    pair = InputSpec(name="values", dtype="float32", shape=(2, 3), low=-4.0, high=4.0)
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.random.default_rng(0).uniform(-4, 4, (8, 2, 3)).astype(np.float32)}, samples)
    reference = module_reference(SoftmaxOfAll().eval(), (pair,))
    reports = {}
    for opset, flat_first in ((11, False), (13, True)):
        softmax, flatten = helper.make_node("Softmax", ["a"], ["b"], axis=1), helper.make_node("Flatten", ["b"], ["c"])
        nodes = [flatten, softmax] if flat_first else [softmax, flatten]
        for node, (before, after) in zip(nodes, (("values", "middle"), ("middle", "logits")), strict=True):
            node.input[0], node.output[0] = before, after
        softmax_graph = helper.make_graph(
            nodes,
            "softmax",
            [helper.make_tensor_value_info("values", TensorProto.FLOAT, ["batch", 2, 3])],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 6])],
        )
        file = tmp_path / f"softmax{opset}.onnx"
        onnx.save(helper.make_model(softmax_graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), file)
        reports[opset] = check(exported, file, reference, FLOAT32, tmp_path, inputs=(pair,), samples=samples)
    require(reports[13])
    assert {check.run for check in reports[11].checks if not check.comparison.passed} == {EVALUATOR}
    finding = locate(
        reports[11],
        file=tmp_path / "softmax11.onnx",
        runtime=RuntimeSpec(kind="onnxruntime", file="softmax11.onnx"),
        reference=reference,
        inputs=(pair,),
        samples=samples,
    )
    with pytest.raises(
        ProofError,
        match=r"as served 0 of 32; with graph optimizations off 0 of 32; in onnx's reference evaluator \d of 4\); it "
        r"differs only in onnx's reference evaluator: what serves it agrees with its source",
    ):
        require(reports[11], where=finding.text)
