"""Find the layer at fault after a failed parity check: the batch that differed most runs again, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.sizes import size_groups
from pipeline.checks.expectation import REAL, sized_kind
from pipeline.checks.locate.layers import LayerFinding, locate_onnx, locate_torchscript
from pipeline.checks.parity_report import EVALUATOR, ParityCheck, ParityReport
from pipeline.checks.reference import Reference
from pipeline.data.synthetic import synthetic_kinds


def locate(
    report: ParityReport,
    *,
    file: Path,
    runtime: RuntimeSpec,
    reference: Reference,
    inputs: Sequence[InputSpec],
    samples: Path,
) -> LayerFinding:
    """Find the first layer at which a file's values differ from those of its reference.

    Args:
        report: failed report on the file's parity.
        file: model file; it runs in this process.
        runtime: settings with which the file is served.
        reference: reference that the report compared the file with.
        inputs: specs of the inputs, in the order the model takes them.
        samples: file with the real inputs of the report.

    Returns:
        The finding. Nothing is raised: an error on the way says nothing about the failure that is already known, so it
        becomes a note of the finding.
    """
    failed = _worst(report)
    if report.passed or report.worst is None:
        return LayerFinding()
    if failed is None:
        return LayerFinding(note=f"it differs only {EVALUATOR}: what serves it agrees with its source")
    try:
        arrays = failing_batch(report, failed, inputs, samples)
        arguments: dict[str, Any] = {"inputs": inputs, "arrays": arrays, "tolerance": report.tolerance}
        match runtime.kind:
            case "onnxruntime":
                return locate_onnx(file, runtime=runtime, module=reference.module, original=reference.file, **arguments)
            case "torchscript":
                if reference.module is None:
                    return LayerFinding(note="which layer is not known: there is no torch module to compare with")
                return locate_torchscript(file, runtime=runtime, module=reference.module, **arguments)
            case unreachable:
                assert_never(unreachable)
    except Exception as error:  # noqa: BLE001 - this error must not hide the failure that led here
        reason = " ".join(str(error).split())[:200]
        return LayerFinding(note=f"which layer could not be found out: {type(error).__name__}: {reason}")


def failing_batch(
    report: ParityReport, check: ParityCheck, inputs: Sequence[InputSpec], samples: Path
) -> dict[str, NDArray[Any]]:
    """The inputs of one call on which the answers differed most.

    Args:
        report: report with all checks.
        check: one of its checks.
        inputs: specs of the inputs, in the order the model takes them.
        samples: file with the real inputs of the report.

    Returns:
        Arrays (B, *shape) by input name.
    """
    stored = load_file(samples)
    arrays = {spec.name: stored[f"input.{spec.name}"] for spec in inputs}
    sized = {sized_kind(group.sizes): dict(group.inputs) for group in size_groups(stored, inputs)}
    if check.inputs in sized:
        arrays = sized[check.inputs]
    elif check.inputs != REAL:
        count = max(served.batch_size for served in report.checks if served.run != EVALUATOR)
        arrays = synthetic_kinds(inputs, count, real=arrays)[check.inputs]
    row = check.comparison.position[0] if check.comparison.position else 0
    start = row // check.batch_size * check.batch_size
    return {name: array[start : start + check.batch_size] for name, array in arrays.items()}


def _worst(report: ParityReport) -> ParityCheck | None:
    """The failed check furthest beyond its limit, among those that ran what serves; None if there is none."""
    failed = [check for check in report.checks if check.run != EVALUATOR and not check.comparison.passed]
    return max(failed, key=lambda check: check.strain, default=None)
