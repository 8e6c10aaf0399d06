"""Which candidate wins: of those inside their limits, the best by the goal, unless a simpler one is as good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.candidates.report import CandidateReport
from pipeline.errors import ProofError, RecipeError
from pipeline.measure.gain import MINIMUM_GAIN, speed_up
from pipeline.verify.quality import QualityReport

Goal = Literal["latency", "throughput", "size"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether a candidate may be selected.

    Args:
        allowed: whether it is inside its limits.
        text: `lossless`, `within budget`, `over budget`, or `not provable with n examples`.
    """

    allowed: bool
    text: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The winner, why, and a verdict per candidate."""

    selected: str
    why: str
    verdicts: dict[str, Verdict]


def judge(report: CandidateReport, max_accuracy_drop: float) -> Verdict:
    """Hold one candidate against the budget.

    A lossless candidate has passed parity, or there would be no report of it.
    """
    if not report.lossy:
        return Verdict(allowed=True, text="lossless")
    quality = report.quality
    if quality.drop_upper <= max_accuracy_drop:
        return Verdict(allowed=True, text="within budget")
    if quality.drop <= max_accuracy_drop < quality.smallest_provable_drop:
        return Verdict(allowed=False, text=f"not provable with {quality.examples} examples")
    return Verdict(allowed=False, text="over budget")


def choose(
    reports: Sequence[CandidateReport], *, goal: Goal, max_accuracy_drop: float, named: str | None = None
) -> Choice:
    """Pick the winner.

    Args:
        reports: every candidate, `float.onnx.fp32` among them.
        goal: `latency` at batch 1, `throughput` at the largest batch measured, or file `size`.
        max_accuracy_drop: fraction.
        named: take this one if it is inside its limits.

    Raises:
        RecipeError: no candidate has that name.
        ProofError: the named candidate is outside its limits.
    """
    by_name = {report.name: report for report in reports}
    verdicts = {report.name: judge(report, max_accuracy_drop) for report in reports}
    if named is not None:
        if named not in by_name:
            raise RecipeError(f"select.candidate: expected one of {', '.join(by_name)}, found {named}")
        if not verdicts[named].allowed:
            raise ProofError(_refusal(by_name[named].quality, named, verdicts[named].text, max_accuracy_drop))
        return Choice(selected=named, why="named by the recipe", verdicts=verdicts)
    allowed = [report for report in reports if verdicts[report.name].allowed]
    best = min(allowed, key=lambda report: _cost(report, goal))
    for report in sorted(allowed, key=lambda report: (_complexity(report), _cost(report, goal))):
        if not _gains(best, report, goal):
            break
    if report.name == best.name:
        why = f"best {goal} of the {len(allowed)} candidates inside their limits"
    else:
        why = f"{best.name} gains less than {MINIMUM_GAIN:.0%} {goal} over this simpler candidate"
    return Choice(selected=report.name, why=why, verdicts=verdicts)


def _refusal(quality: QualityReport, name: str, verdict: str, budget: float) -> str:
    return (
        f"select.candidate {name}: {verdict}: expected a drop provably under {budget:.4f}, found {quality.drop:+.4f} "
        f"with a 95 % bound of {quality.drop_upper:.4f} on {quality.examples} examples; "
        "raise budget.max_accuracy_drop or name another candidate"
    )


def _largest_batch(report: CandidateReport) -> int:
    return max(timing.batch_size for timing in report.timings)


def _cost(report: CandidateReport, goal: Goal) -> float:
    match goal:
        case "latency":
            return report.timing(1).median_ms
        case "throughput":
            return report.timing(_largest_batch(report)).median_ms
        case "size":
            return float(report.size)


def _gains(best: CandidateReport, other: CandidateReport, goal: Goal) -> bool:
    """Whether `best` is really better than `other`, and not just in this run."""
    if goal == "size":
        return other.size > best.size * (1 + MINIMUM_GAIN)
    batch = 1 if goal == "latency" else _largest_batch(best)
    return speed_up(other.timing(batch).rounds_ms, best.timing(batch).rounds_ms).is_gain


def _complexity(report: CandidateReport) -> tuple[int, bool]:
    """Fewer passes are simpler; at the same number ONNX is, since its file is not tied to a torch version."""
    return (len(report.passes), report.format != "onnx")
