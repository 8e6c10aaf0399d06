"""Rulers hold made-up inputs, inputs of other sizes, and limits that fit the network's answers."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from onnx import helper
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import _quiet_torchscript
from pipeline._handlers.sizes import pack_size_groups
from pipeline._handlers.tolerance import FLOAT32
from pipeline.checks.expectation import COSTLY_MACS, make_expectations
from pipeline.checks.free_axes import sized_examples
from pipeline.checks.locate.first_difference import locate
from pipeline.checks.reference import Reference, module_reference
from pipeline.errors import ProofError
from tests.onnx_files import LOGITS, VALUES, graph, one_operator
from tests.parity_reports import check, require

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


class Particular(nn.Module):
    """A network that has no steady answer to some made-up inputs."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, values: Tensor) -> Tensor:
        if self.fault == "infinite" or not values.any():
            if self.fault == "raises" and not values.any():
                raise ValueError("an empty text\nhas no words")
            return torch.reciprocal(values)
        if self.fault == "rounds":
            # Where the values are large, the difference left after cancelling has no digits of float32.
            return values + ((values**8 + 1e7) - values**8 - 1e7)
        return values.clone()


@pytest.mark.parametrize(
    ("fault", "low", "left_out"),
    [
        ("infinite", 0.0, {"zeros": "the network itself answers NaN or infinity to 32 of 32"}),
        ("raises", 0.0, {"zeros": "the network itself raises ValueError: an empty text"}),
        ("rounds", 1.0, {"maximum": "float32 and float64 lie", "noise": "float32 and float64 lie"}),
    ],
)
def test_made_up_inputs_that_the_network_itself_has_no_steady_answer_to_are_left_out(
    exported: Exported, tmp_path: Path, fault: str, low: float, left_out: dict[str, str]
) -> None:
    values = InputSpec(name="values", dtype="float32", shape=(3,), low=low, high=64.0)
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.random.default_rng(0).uniform(1, 2, (8, 3)).astype(np.float32)}, samples)
    reference = module_reference(Particular(fault).eval(), (values,))
    file = one_operator(tmp_path / "same.onnx", "Reciprocal" if fault == "infinite" else "Identity")
    report = check(exported, file, reference, FLOAT32, tmp_path, inputs=(values,), samples=samples)
    assert report.left_out.keys() == left_out.keys()
    assert all(text in report.left_out[kind] for kind, text in left_out.items()), report.left_out
    require(report)
    assert {check.inputs for check in report.checks} == {"real", "zeros", "maximum", "noise"} - left_out.keys()
    assert report.to_json()["left_out"] == dict(report.left_out)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e12])
def test_the_limit_fits_answers_of_any_size(exported: Exported, tmp_path: Path, size: float) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.random.default_rng(0).uniform(-4, 4, (8, 3)).astype(np.float32)}, samples)
    module = nn.Linear(3, 3).eval()
    with torch.no_grad():
        module.weight.copy_(torch.eye(3) * size)
        module.bias.zero_()
    arguments: dict[str, Any] = {"inputs": (VALUES,), "samples": samples, "batch_sizes": (1,)}
    for factor, passes in ((1.0, True), (1.0 + 1e-6, True), (1.0 + 1e-4, False)):
        file = one_operator(tmp_path / "scaled.onnx", "Mul", size * factor)
        report = check(exported, file, module_reference(module, (VALUES,)), FLOAT32, tmp_path, **arguments)
        assert report.passed is passes, (factor, report.worst)
        assert not report.empty


def test_a_proof_that_tells_no_two_examples_apart_is_called_empty(exported: Exported, tmp_path: Path) -> None:
    samples = tmp_path / "samples.safetensors"
    save_file({"input.values": np.random.default_rng(0).uniform(-4, 4, (8, 3)).astype(np.float32)}, samples)
    module = nn.Linear(3, 3).eval()
    with torch.no_grad():
        module.weight.copy_(torch.eye(3) * 1e-7)
        module.bias.copy_(torch.tensor([0.0, 100.0, 50.0]))
    shift = {"shift": np.array([0, 100, 50], np.float32), "none": np.zeros(1, np.float32)}
    nodes = [
        helper.make_node("Mul", ["values", "none"], ["zero"]),
        helper.make_node("Add", ["zero", "shift"], ["logits"]),
    ]
    file = graph(tmp_path / "constant.onnx", nodes, LOGITS, **shift)
    report = check(
        exported, file, module_reference(module, (VALUES,)), FLOAT32, tmp_path, inputs=(VALUES,), samples=samples
    )
    assert report.passed, "what it answers is as near as float32 can tell"
    assert report.empty
    assert report.to_json()["empty"] is True


class ByRoot(nn.Module):
    """A sum over the root of the length, which a trace takes for a constant."""

    def forward(self, steps: Tensor) -> Tensor:
        size = steps.shape[1]
        return steps.sum(1) / math.sqrt(int(size))


class ByMean(nn.Module):
    def forward(self, steps: Tensor) -> Tensor:
        return steps.mean(1)


def test_a_length_that_the_file_took_for_a_constant_fails_at_another_one(exported: Exported, tmp_path: Path) -> None:
    spec = InputSpec(name="steps", dtype="float32", shape=(12, 4), low=-4.0, high=4.0, dynamic_axes=(0,))
    real = {"steps": np.random.default_rng(0).normal(0, 1, (8, 12, 4)).astype(np.float32)}
    samples = tmp_path / "samples.safetensors"
    reports = {}
    for module in (ByRoot().eval(), ByMean().eval()):
        sized = sized_examples(module, [spec], real)
        save_file({"input.steps": real["steps"], **pack_size_groups(sized.groups)}, samples)
        file = tmp_path / f"{type(module).__name__}.pt"
        with _quiet_torchscript(), warnings.catch_warnings():
            warnings.simplefilter("ignore", TracerWarning)
            traced = torch.jit.trace(module, torch.from_numpy(real["steps"][:2]))  # type: ignore[no-untyped-call]
            torch.jit.save(traced, file)
        reference = module_reference(module, [spec])
        arguments: dict[str, Any] = {"inputs": [spec], "samples": samples, "batch_sizes": (1, 2)}
        report = check(exported, file, reference, FLOAT32, tmp_path, **arguments)
        reports[type(module)] = report
        if not report.passed:
            runtime = RuntimeSpec(kind="torchscript", file=file.name)
            finding = locate(report, file=file, runtime=runtime, reference=reference, inputs=[spec], samples=samples)
            with pytest.raises(ProofError, match=r"failed on real \(steps of 1\) inputs at .*; the whole \(ByRoot\): "):
                require(report, where=finding.text)
    require(reports[ByMean])
    failed = {check.inputs for check in reports[ByRoot].checks if not check.comparison.passed}
    assert failed == {f"real (steps of {size})" for size in (1, 6, 24, 25)}
    assert {check.batch_size for check in reports[ByMean].checks if check.inputs == "real (steps of 25)"} == {1, 2}


def _answered(macs: int, count: int = 300) -> dict[str, dict[int, int]]:
    """The number of examples that are answered of each kind, by batch size."""
    spec = InputSpec(name="values", dtype="float32", shape=(2,), low=-1, high=1)
    reference = Reference(name="sum", answer=lambda inputs: inputs["values"] * np.float32(2))
    samples = {"input.values": np.random.default_rng(0).uniform(-1, 1, (count, 2)).astype(np.float32)}
    expectations, _ = make_expectations(reference, [spec], samples, (1, 2, 7, 32), FLOAT32, macs=macs)
    return {
        expectation.kind: {size: len(answers) for size, answers in expectation.expected.items()}
        for expectation in expectations
    }


def test_a_costly_network_answers_fewer_examples_and_every_batch_size_is_filled() -> None:
    every = dict.fromkeys((1, 2, 7, 32), 32)
    usual = {"zeros": every, "maximum": every, "noise": every}
    assert _answered(COSTLY_MACS) == {"real": dict.fromkeys((1, 2, 7, 32), 300), **usual}
    same = {1: 2, 2: 2, 7: 7}
    few = {"zeros": same, "maximum": same, "noise": {1: 8, 2: 8, 7: 8, 32: 32}}
    assert _answered(6 * COSTLY_MACS) == {"real": dict.fromkeys((1, 2, 7, 32), 42), **few}
    assert _answered(100 * COSTLY_MACS) == {"real": {1: 8, 2: 8, 7: 8, 32: 32}, **few}
    assert _answered(100 * COSTLY_MACS, count=5)["real"] == dict.fromkeys((1, 2, 7, 32), 5)


def test_a_costly_file_that_differs_is_caught_and_its_twin_passes(exported: Exported, tmp_path: Path) -> None:
    reference = module_reference(exported.module, exported.inputs)
    for file, same in (("float.onnx", True), ("int8.onnx", False)):
        path = exported.folder / file
        report = check(exported, path, reference, FLOAT32, tmp_path, macs=100 * COSTLY_MACS, skip_evaluator="costly")
        assert report.passed is same
        assert {check.batch_size for check in report.checks if check.inputs == "noise"} == {1, 2, 7, 32}
