"""From a failed parity report to the layer at fault: the batch that differed most is run again, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_never

from numpy.typing import NDArray
from safetensors.numpy import load_file

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.sizes import size_groups
from pipeline.checks.locate.layers import LayerFinding, locate_onnx, locate_torchscript
from pipeline.checks.parity import EVALUATOR, ParityCheck, ParityReport
from pipeline.checks.reference import Reference
from pipeline.checks.ruler import REAL, sized_kind
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
    """Find the first layer at which a file parts from its reference.

    Args:
        report: of the file's parity, which failed.
        file: the model file; it is run in this process.
        runtime: how it is served.
        reference: what the report held it against.
        inputs: in the order the model takes them.
        samples: the real inputs of the report.

    Returns:
        The finding. Nothing is raised: what goes wrong on the way says nothing about the failure that is known, and
        becomes a note.
    """
    failed = _worst(report)
    if report.passed or report.worst is None:
        return LayerFinding()
    if failed is None:
        return LayerFinding(note=f"it differs only {EVALUATOR}: what serves it agrees with its source")
    try:
        arrays = failing_batch(report, failed, inputs, samples)
        given: dict[str, Any] = {"inputs": inputs, "arrays": arrays, "tolerance": report.tolerance}
        match runtime.kind:
            case "onnxruntime":
                return locate_onnx(file, runtime=runtime, module=reference.module, original=reference.file, **given)
            case "torchscript":
                if reference.module is None:
                    return LayerFinding(note="which layer is not known: there is no torch module to compare with")
                return locate_torchscript(file, runtime=runtime, module=reference.module, **given)
            case unreachable:
                assert_never(unreachable)
    except Exception as error:  # noqa: BLE001 - must not hide the failure that led here
        reason = " ".join(str(error).split())[:200]
        return LayerFinding(note=f"which layer could not be found out: {type(error).__name__}: {reason}")


def failing_batch(
    report: ParityReport, check: ParityCheck, inputs: Sequence[InputSpec], samples: Path
) -> dict[str, NDArray[Any]]:
    """The inputs of one call on which the answers differed most.

    Args:
        report: of all checks.
        check: one of them.
        inputs: in the order the model takes them.
        samples: the real inputs of the report.

    Returns:
        Arrays (B, *shape) by input name.
    """
    stored = load_file(samples)
    arrays = {one.name: stored[f"input.{one.name}"] for one in inputs}
    sized = {sized_kind(group.sizes): dict(group.inputs) for group in size_groups(stored, inputs)}
    if check.inputs in sized:
        arrays = sized[check.inputs]
    elif check.inputs != REAL:
        count = max(one.batch_size for one in report.checks if one.run != EVALUATOR)
        arrays = synthetic_kinds(inputs, count, real=arrays)[check.inputs]
    row = check.comparison.position[0] if check.comparison.position else 0
    start = row // check.batch_size * check.batch_size
    return {name: array[start : start + check.batch_size] for name, array in arrays.items()}


def _worst(report: ParityReport) -> ParityCheck | None:
    """The failed check furthest beyond its limit, of those that ran what serves; None if there is none."""
    failed = [one for one in report.checks if one.run != EVALUATOR and not one.comparison.passed]
    return max(failed, key=lambda one: one.strain, default=None)
