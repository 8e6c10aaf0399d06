"""A parity report held as a build holds one."""

from __future__ import annotations

from pipeline.checks.parity import ParityReport, failure
from pipeline.errors import ProofError


def require(report: ParityReport, *, where: str = "") -> None:
    """Raise what the report says, if the file does not reproduce its source."""
    if not report.passed:
        raise ProofError(failure(report, where=where))
