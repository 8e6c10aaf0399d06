"""What a parity check found: every comparison, what follows from them, and a failure in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline._handlers.compare import Comparison
from pipeline._handlers.tolerance import Tolerance

# Ways in which a file ran.
SERVED = "as served"
UNOPTIMIZED = "with graph optimizations off"
EVALUATOR = "in onnx's reference evaluator"
# The reference of a quantized ONNX file, which has no torch source.
SAME_FILE = f"the same file {UNOPTIMIZED}"


@dataclass(frozen=True, kw_only=True)
class ParityCheck:
    """The comparison of one replay with the reference.

    Args:
        run: way in which the file ran: `SERVED`, `UNOPTIMIZED` or `EVALUATOR`.
        inputs: kind of inputs, such as real, zeros, maximum or noise.
        batch_size: examples per call.
        call: number of the call, from 1; a runtime may compile something else for the second call.
        comparison: comparison of the answers.
    """

    run: str = SERVED
    inputs: str
    batch_size: int
    call: int
    comparison: Comparison

    @property
    def strain(self) -> float:
        """The largest difference as a multiple of its limit; infinite where values cannot be compared."""
        return self.comparison.strain

    def to_json(self) -> dict[str, Any]:
        """The check as JSON values."""
        return {
            "run": self.run,
            "inputs": self.inputs,
            "batch_size": self.batch_size,
            "call": self.call,
            **self.comparison.to_json(),
        }


@dataclass(frozen=True, kw_only=True)
class ParityReport:
    """The report on whether a candidate reproduces its reference.

    Args:
        candidate: name of the candidate.
        reference: name of what it was compared with.
        tolerance: tolerance, fitted to the answers of the reference.
        checks: one check per run, kind of inputs, batch size and call; empty if the file could not be replayed.
        error: one clause that says why it could not be replayed; empty if it could.
        batch_invariant: whether an example's answer is the same alone and in a batch. If not, it is served alone.
        batch_difference: largest difference between the answers alone and in a batch.
        environment: processor and library versions of the replay.
        not_run: reasons why a run was left out, by run.
        left_out: reasons why a kind of made-up inputs proves nothing, by kind: the reference itself has no steady
            answer to it.
        noise: largest difference between the reference's answers to real inputs in float32 and in float64; None where
            it is not known.
        empty: whether a file that gives the same answer to all real inputs would pass too.
    """

    candidate: str
    reference: str
    tolerance: Tolerance
    checks: tuple[ParityCheck, ...]
    error: str = ""
    batch_invariant: bool = True
    batch_difference: float = 0.0
    environment: str = ""
    not_run: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    noise: float | None = None
    empty: bool = False

    @property
    def passed(self) -> bool:
        """Whether every check passed, and there was at least one."""
        return not self.error and bool(self.checks) and all(check.comparison.passed for check in self.checks)

    @property
    def worst(self) -> ParityCheck | None:
        """The check nearest to or furthest beyond its limit, failed ones first; None if there is none."""
        return max(self.checks, key=lambda check: (not check.comparison.passed, check.strain), default=None)

    @property
    def max_absolute(self) -> float:
        """The largest absolute difference in any check; infinite where values cannot be compared, or none were."""
        return max((check.comparison.max_absolute for check in self.checks), default=math.inf)

    @property
    def max_relative(self) -> float:
        """The largest relative difference in any check; infinite where zero was expected and another value came."""
        return max((check.comparison.max_relative for check in self.checks), default=math.inf)

    @property
    def cosine(self) -> float:
        """The smallest cosine in any check; NaN where values cannot be compared, or none were."""
        values = [check.comparison.cosine for check in self.checks]
        return math.nan if not values or any(math.isnan(value) for value in values) else min(values)

    @property
    def argmax_agreement(self) -> float:
        """The smallest share of equal decisions in any check."""
        return min((check.comparison.argmax_agreement for check in self.checks), default=0.0)

    @property
    def runs(self) -> tuple[str, ...]:
        """The ways in which the file was run, in order."""
        return tuple(dict.fromkeys(check.run for check in self.checks))

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values; a number that JSON cannot express is null."""
        worst = self.worst
        return {
            "passed": self.passed,
            "candidate": self.candidate,
            "reference": self.reference,
            "tolerance": self.tolerance.to_json(),
            "error": self.error,
            "worst": worst and worst.to_json(),
            "max_absolute": _finite(self.max_absolute),
            "max_relative": _finite(self.max_relative),
            "cosine": _finite(self.cosine),
            "argmax_agreement": self.argmax_agreement,
            "runs": list(self.runs),
            "not_run": dict(self.not_run),
            "left_out": dict(self.left_out),
            "noise": self.noise,
            "empty": self.empty,
            "batch_invariant": self.batch_invariant,
            "batch_difference": _finite(self.batch_difference),
            "environment": self.environment,
            "checks": [check.to_json() for check in self.checks],
        }


def failure(report: ParityReport, *, where: str = "") -> str:
    """One clause that names the candidate, the inputs, both values and the limit.

    Args:
        report: failed report on one candidate.
        where: layer at which it failed, as one clause; empty if it is not known.
    """
    worst = report.worst
    if report.error or worst is None:
        return f"{report.candidate}: parity with {report.reference}: {report.error or 'nothing was compared'}"
    failed = sum(not check.comparison.passed for check in report.checks)
    return (
        f"{report.candidate}: parity with {report.reference} failed on {worst.inputs} inputs at batch size "
        f"{worst.batch_size}, call {worst.call}, {worst.run}: {worst.comparison.reason} ({failed} of "
        f"{len(report.checks)} checks failed: {_who_differs(report)}){f'; {where}' if where else ''}"
    )


def _who_differs(report: ParityReport) -> str:
    """Words that say how many checks of each run failed, and on which calls if not on all."""
    parts = []
    for run in report.runs:
        checks = [check for check in report.checks if check.run == run]
        failed = [check for check in checks if not check.comparison.passed]
        calls = sorted({check.call for check in failed})
        all_failed = calls == sorted({check.call for check in checks})
        only = "" if not failed or all_failed else f", on call {_join(calls)} only"
        parts.append(f"{run} {len(failed)} of {len(checks)}{only}")
    return "; ".join(parts)


def _join(numbers: Sequence[int]) -> str:
    return " and ".join(str(number) for number in numbers)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
