"""Says in one line per candidate why it can or cannot be selected."""

from __future__ import annotations

from typing import assert_never

from pipeline.candidates.choose import Verdict
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.speed import SpeedUp
from pipeline.measure.gain import MINIMUM_GAIN, times
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
    """Say how far a candidate came towards the goal, and what kept it from winning.

    Args:
        report: report on the candidate.
        verdict: verdict on the candidate under the budget.
        limits: the budget.
        speed: speed-ups over the float network's file, one per batch size.
        float_size: size of that file, in bytes.
        goal: what the candidates compete in.

    Returns:
        One clause.
    """
    is_gain, ratio = _gain(report, speed, float_size, goal)
    if not verdict.allowed:
        return f"{ratio}, {miss(report.quality, verdict=verdict, limits=limits)}"
    if is_gain:
        return ratio
    cause = _cause(report)
    return f"{ratio}, no benefit{f': {cause}' if cause else ''}"


def miss(quality: QualityReport, *, verdict: Verdict, limits: Budget) -> str:
    """Say why a candidate may not be selected: its verdict, then what was measured and what is allowed."""
    drop = (
        f"{verdict.text}: drop {quality.drop * 100:+.2f} points, bound {verdict.adjusted_drop_upper * 100:+.2f} of "
        f"{limits.max_accuracy_drop * 100:.2f} allowed"
    )
    if quality.confident_flips is None:
        return drop
    return f"{drop}; confident flips {quality.confident_share:.2%} of {limits.max_confident_flips:.2%} allowed"


def _gain(report: CandidateReport, speed: tuple[SpeedUp, ...], float_size: int, goal: Goal) -> tuple[bool, str]:
    """Return whether a gain over float in ONNX Runtime may be claimed, and the ratio in words."""
    match goal:
        case "size":
            smaller = float_size / report.size
            return smaller > 1 + MINIMUM_GAIN, f"{times(smaller)}x smaller than float"
        case "latency":
            speed_up = min(speed, key=lambda measured: measured.batch_size)
        case "throughput":
            speed_up = max(speed, key=lambda measured: measured.batch_size)
        case _:
            assert_never(goal)
    return speed_up.over_float.is_gain, f"{times(speed_up.over_float.value)}x float at batch {speed_up.batch_size}"


def _cause(report: CandidateReport) -> str:
    """Say why passes made nothing faster; empty where the reason is not known."""
    facts = PRECISIONS[report.precision]
    cause = facts.why_no_gain
    if cause:
        one_by_one = facts.scales_per_call and not report.parity.batch_invariant
        return f"{cause}{', and a batch is answered one by one' if one_by_one else ''}"
    if report.passes and report.passes[-1].kind == "magnitude-pruning":
        return "zeros are stored and multiplied like any other value"
    return ""
