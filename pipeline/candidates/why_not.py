"""Says in words why candidates were not chosen."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.candidates.choose import (
    NAMED,
    OVER,
    OVERTURNS,
    Choice,
    Verdict,
    complexity_of,
    cost_of,
    gains_over,
    is_calm,
)
from pipeline.candidates.report import CandidateReport
from pipeline.measure.gain import MINIMUM_GAIN, interval, speed_up, times
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.quality import QualityReport


def why_not(reports: Sequence[CandidateReport], choice: Choice, *, goal: Goal, limits: Budget) -> dict[str, str]:
    """Say why each candidate is not the winner, in one clause; of the winner, why it is.

    Args:
        reports: reports on the proven candidates, in the order in which `choose` got them.
        choice: the winner and the verdicts.
        goal: what the candidates competed in.
        limits: what a lossy candidate may lose.

    Returns:
        A clause by candidate, in the same order.
    """
    allowed = [report for report in reports if choice.verdicts[report.name].allowed]
    best = min(allowed, key=lambda report: cost_of(report, goal, reference=reports[0]))
    winner = next(report for report in reports if report.name == choice.selected)

    def reason(report: CandidateReport) -> str:
        verdict = choice.verdicts[report.name]
        if report is winner:
            return choice.why
        if not verdict.allowed:
            return _refusal(report.quality, verdict, limits)
        if choice.why == NAMED:
            return f"the recipe selects {winner.name} by name"
        if gains_over(best, report, goal):
            return f"inside its limits, but {_more(report, best, goal)} {best.name}"
        if complexity_of(winner) < complexity_of(report):
            return f"no certain gain of {MINIMUM_GAIN:.0%} in {goal} over {winner.name}, which is simpler"
        return f"as simple as {winner.name}, and not measured to be better in {goal}"

    return {report.name: reason(report) for report in reports}


def _refusal(quality: QualityReport, verdict: Verdict, limits: Budget) -> str:
    turned = (
        f"turned {quality.confident_share * 100:.2f} % of all answers where float was sure; "
        f"{limits.max_confident_flips * 100:.2f} % allowed"
    )
    if verdict.text == OVERTURNS:
        return turned
    lost = (
        f"lost {quality.drop * 100:.2f} points, at most {verdict.adjusted_drop_upper * 100:.2f} "
        f"({verdict.confidence * 100:.2f} % sure); {limits.max_accuracy_drop * 100:.2f} allowed"
    )
    more = "" if verdict.text == OVER else "; more examples might prove it"
    return f"{lost}{more}" if is_calm(quality, limits) else f"{lost}; and {turned}"


def _more(report: CandidateReport, best: CandidateReport, goal: Goal) -> str:
    """Say how much more a candidate costs than the best one, ending before the name of that one."""
    if goal == "size":
        return f"its file is {times(report.size / best.size)} times as large as that of"
    size = 1 if goal == "latency" else max(timing.batch_size for timing in report.timings)
    ratio = speed_up(report.timing(size).rounds_ms, best.timing(size).rounds_ms)
    return f"it takes {times(ratio.value)} times as long ({interval(ratio)}) as"
