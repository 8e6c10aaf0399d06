"""Parity checks and their reports for files that reproduce their source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper
from safetensors.numpy import save_file
from torch import Tensor, nn

from pipeline._handlers.compare import compare
from pipeline._handlers.tolerance import FLOAT32, INT8_DYNAMIC
from pipeline.checks.parity_report import EVALUATOR, SERVED, UNOPTIMIZED, ParityCheck, ParityReport
from pipeline.checks.reference import module_reference, unoptimized_reference
from pipeline.errors import DataError, ProofError
from tests.onnx_files import LOGITS, VALUES, graph
from tests.parity_reports import check, require

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def test_an_export_reproduces_its_module(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path)
    require(report)
    # 4 kinds, 4 batch sizes, 2 calls, with and without optimizations; the 4 kinds in the reference evaluator
    assert [sum(check.run == run for check in report.checks) for run in report.runs] == [32, 32, 4]
    assert report.runs == (SERVED, UNOPTIMIZED, EVALUATOR)
    assert {check.inputs for check in report.checks} == {"real", "zeros", "maximum", "noise"}
    assert {(check.batch_size, check.call) for check in report.checks if check.run == SERVED} == {
        (b, c) for b in (1, 2, 7, 32) for c in (1, 2)
    }
    assert report.worst is not None
    assert report.worst.strain < 0.1, "far inside its limit, or the limit hides nothing"
    assert report.batch_invariant
    assert list(tmp_path.iterdir()) == []
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["passed"] is True
    assert document["runs"] == ["as served", "with graph optimizations off", "in onnx's reference evaluator"]
    assert 0 < report.max_absolute < 1e-5
    assert document["max_absolute"] == report.max_absolute
    assert report.max_relative >= report.max_absolute, "logits are smaller than 1 here"
    assert report.cosine == pytest.approx(1)
    assert report.argmax_agreement == 1.0


def test_torchscript_reproduces_its_module(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.pt", reference, FLOAT32, tmp_path)
    require(report)
    assert {check.call for check in report.checks} == {1, 2, 3}
    assert report.runs == (SERVED,)
    assert report.batch_invariant


def test_dynamic_int8_is_held_against_its_own_source_and_marked(exported: Exported, tmp_path: Path) -> None:
    file = exported.folder / "int8.onnx"
    report = check(exported, file, unoptimized_reference(file, exported.inputs), INT8_DYNAMIC, tmp_path)
    require(report)
    assert report.reference == "the same file with graph optimizations off"
    assert report.runs == (SERVED, EVALUATOR)
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


def test_a_failure_names_the_calls_that_differed() -> None:
    right = compare(np.ones((1, 2)), np.ones((1, 2)), FLOAT32)
    wrong = compare(np.ones((1, 2)), np.zeros((1, 2)), FLOAT32)
    checks = [
        ParityCheck(inputs="real", batch_size=1, call=call, comparison=wrong if call == 3 else right)
        for call in (1, 2, 3)
    ]
    evaluated = ParityCheck(run=EVALUATOR, inputs="real", batch_size=1, call=1, comparison=right)
    report = ParityReport(
        candidate="slim", reference="its torch module", tolerance=FLOAT32, checks=(*checks, evaluated)
    )
    with pytest.raises(
        ProofError,
        match=r"call 3, as served: .* \(1 of 4 checks failed: as served 1 of 3, on call 3 only; in onnx's reference "
        r"evaluator 0 of 1\)",
    ):
        require(report)


def test_what_the_reference_evaluator_does_not_know_is_said(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.ones((8, 3), np.float32)}, samples)
    file = graph(
        tmp_path / "own.onnx", [helper.make_node("QuickGelu", ["values"], ["logits"], domain="com.microsoft")], LOGITS
    )
    model = onnx.load(file)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    onnx.save(model, file)

    class QuickGelu(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values * torch.sigmoid(1.702 * values)

    reference = module_reference(QuickGelu().eval(), (VALUES,))
    arguments: dict[str, Any] = {"inputs": (VALUES,), "samples": samples, "batch_sizes": (1,)}
    report = check(exported, file, reference, FLOAT32, tmp_path, **arguments)
    require(report)
    assert report.runs == (SERVED, UNOPTIMIZED)
    assert "QuickGelu" in report.not_run[EVALUATOR]
    skipped = check(exported, file, reference, FLOAT32, tmp_path, **arguments, skip_evaluator="too large")
    assert skipped.to_json()["not_run"] == {EVALUATOR: "too large"}


def test_no_samples_prove_nothing(exported: Exported, tmp_path: Path) -> None:
    empty = tmp_path / "samples.safetensors"
    save_file({"input.pixels": np.zeros((0, 1, 28, 28), np.uint8)}, empty)
    reference = module_reference(exported.module, exported.inputs)
    with pytest.raises(
        DataError, match=r"samples\.safetensors: expected at least 1 example of input pixels, found none"
    ):
        check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path, samples=empty)


def test_batch_size_one_is_always_among_them(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    report = check(exported, exported.folder / "float.onnx", reference, FLOAT32, tmp_path, batch_sizes=(5,), calls=1)
    assert sorted({check.batch_size for check in report.checks if check.run == SERVED}) == [1, 5]


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
