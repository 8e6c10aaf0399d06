"""Why a candidate was taken or not, in one line each."""

from __future__ import annotations

from typing import assert_never

from pipeline.candidates.choose import Verdict
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.speed import SpeedUp
from pipeline.measure.gain import MINIMUM_GAIN
from pipeline.precision import PRECISIONS
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.quality import QualityReport


def outcome(
    report: CandidateReport,
    *,
    verdict: Verdict,
    limits: Budget,
    speed: tuple[SpeedUp, ...],
    float_size: int,
    goal: Goal,
) -> str:
    """What was found of a candidate in what is searched for, and what kept it from winning.

    Args:
        report: of the candidate.
        verdict: of the budget.
        limits: the budget.
        speed: against the float network's file, by batch size.
        float_size: of that file, in bytes.
        goal: what the candidates compete in.

    Returns:
        One clause.
    """
    gain, found = _gain(report, speed, float_size, goal)
    if not verdict.allowed:
        return f"{found}, {miss(report.quality, verdict=verdict, limits=limits)}"
    if gain:
        return found
    cause = _cause(report)
    return f"{found}, no benefit{f': {cause}' if cause else ''}"


def miss(quality: QualityReport, *, verdict: Verdict, limits: Budget) -> str:
    """Why a candidate may not be selected: its verdict, then what was found and what is allowed."""
    return (
        f"{verdict.text}: drop {quality.drop * 100:+.2f} points, bound {verdict.adjusted_drop_upper * 100:+.2f} of "
        f"{limits.max_accuracy_drop * 100:.2f} allowed; confident flips {quality.confident_share:.2%} of "
        f"{limits.max_confident_flips:.2%} allowed"
    )


def _gain(report: CandidateReport, speed: tuple[SpeedUp, ...], float_size: int, goal: Goal) -> tuple[bool, str]:
    """Whether a gain over float in ONNX Runtime may be claimed, and the ratio in words."""
    match goal:
        case "size":
            smaller = float_size / report.size
            return smaller > 1 + MINIMUM_GAIN, f"{smaller:.2f}x smaller than float"
        case "latency":
            one = min(speed, key=lambda found: found.batch_size)
        case "throughput":
            one = max(speed, key=lambda found: found.batch_size)
        case _:
            assert_never(goal)
    return one.over_float.is_gain, f"{one.over_float.value:.2f}x float at batch {one.batch_size}"


def _cause(report: CandidateReport) -> str:
    """What is known of passes that make nothing faster; empty where nothing is."""
    facts = PRECISIONS[report.precision]
    cause = facts.why_no_gain
    if cause:
        one_by_one = facts.scales_per_call and not report.parity.batch_invariant
        return f"{cause}{', and a batch is answered one by one' if one_by_one else ''}"
    if report.passes and report.passes[-1].kind == "magnitude-pruning":
        return "zeros are stored and multiplied like any other value"
    return ""
