"""Parity reports of single files, and a report held as a build holds one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.tolerance import Tolerance
from pipeline.checks.parity import check_parity
from pipeline.checks.parity_report import ParityReport, failure
from pipeline.checks.reference import Reference
from pipeline.errors import ProofError

if TYPE_CHECKING:
    from tests.unit.conftest import Exported


def check(
    exported: Exported, file: Path, reference: Reference, tolerance: Tolerance, scratch: Path, **changes: Any
) -> ParityReport:
    """Hold a file against its reference, on the exported network's inputs and samples unless others are named."""
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


def require(report: ParityReport, *, where: str = "") -> None:
    """Raise what the report says, if the file does not reproduce its source."""
    if not report.passed:
        raise ProofError(failure(report, where=where))
