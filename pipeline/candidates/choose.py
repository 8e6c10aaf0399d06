"""Chooses the winner: the best candidate inside its limits by the goal, unless a simpler one is as good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.candidates.report import CandidateReport
from pipeline.engine.documents import Document
from pipeline.errors import ProofError, UsageError
from pipeline.formats import FORMATS
from pipeline.measure.gain import MINIMUM_GAIN, speed_up
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.quality import QualityReport

# Probability that a bound does not hold, over all candidates together.
ERROR_RATE = 0.05
LOSSLESS = "lossless"
WITHIN = "within budget"
OVER = "over budget"
OVERTURNS = "too many confident flips"
NAMED = "named by the recipe"


class Verdict(Document):
    """Whether a candidate may be selected.

    Args:
        allowed: whether it is inside its limits.
        text: `lossless`, `within budget`, `over budget`, `too many confident flips`, or `not provable with n examples`.
        adjusted_drop_upper: the one-sided bound of the drop that was compared with the budget, as a fraction. It is
            adjusted for the number of candidates compared, so it is never below the `drop_upper` of a quality report,
            which looks at one candidate alone.
        confidence: confidence of that bound, as a fraction. It is nearer to 1 the more candidates were compared, so
            that all bounds hold together with 95 %.
        smallest_provable_drop: the bound that a candidate without a true drop would get, as a fraction. No smaller
            budget could be proven.
    """

    allowed: bool
    text: str
    adjusted_drop_upper: float
    confidence: float
    smallest_provable_drop: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The winner, why it won, and a verdict per candidate."""

    selected: str
    why: str
    verdicts: dict[str, Verdict]


def adjusted_confidence(compared: int) -> float:
    """Return the confidence of each candidate's bound, so that all of them hold together with 95 %.

    Without the adjustment, the best looking of many candidates would be picked for its luck as well. It follows
    Bonferroni's inequality; for simultaneous intervals, see Dunn (1961), "Multiple comparisons among means", Journal of
    the American Statistical Association 56, 52-64.

    Args:
        compared: number of lossy candidates that could be selected, including those that a search plans.
    """
    return 1 - ERROR_RATE / max(compared, 1)


def judge(quality: QualityReport, limits: Budget, *, lossy: bool, compared: int) -> Verdict:
    """Judge one candidate by the budget.

    Args:
        quality: quality report on the candidate.
        limits: the budget.
        lossy: whether the candidate may answer differently from float at all. A lossless one has passed parity, or
            there would be no report on it.
        compared: number of lossy candidates that could be selected; 1 where the choice is made already.
    """
    confidence = adjusted_confidence(compared)
    upper = quality.upper_bound(confidence)
    budget = limits.max_accuracy_drop
    match (lossy, upper <= budget, is_calm(quality, limits)):
        case (False, _, _):
            text = LOSSLESS
        case (True, True, True):
            text = WITHIN
        case (True, False, _) if quality.drop > budget:
            text = OVER
        case (True, _, False):
            text = OVERTURNS
        case _:
            text = f"not provable with {quality.examples} examples"
    return Verdict(
        allowed=text in (LOSSLESS, WITHIN),
        text=text,
        adjusted_drop_upper=upper,
        confidence=confidence,
        smallest_provable_drop=quality.smallest_provable(confidence),
    )


def is_calm(quality: QualityReport, limits: Budget) -> bool:
    """Whether a candidate turns few enough answers that float was sure of, whatever its drop.

    Where decisions have no confidence, no share of them is limited.
    """
    return quality.confident_flips is None or quality.confident_share <= limits.max_confident_flips


def explain(name: str, quality: QualityReport, verdict: Verdict, limits: Budget) -> str:
    """Say why a candidate is outside its limits: what was expected and what was found, in one clause."""
    sure = quality.confident_flips is not None
    flips = f" and confident flips on at most {limits.max_confident_flips:.3%}" if sure else ""
    share = f" and {quality.confident_share:.3%}" if sure else ""
    return (
        f"{name}: {verdict.text}: expected a drop provably under {_points(limits.max_accuracy_drop)} points{flips}, "
        f"found {_points(quality.drop, sign='+')} points with a bound of {_points(verdict.adjusted_drop_upper)} "
        f"({verdict.confidence:.1%} confidence){share}, on {quality.examples} examples (smallest provable "
        f"{_points(verdict.smallest_provable_drop)} points)"
    )


def choose(
    reports: Sequence[CandidateReport],
    *,
    goal: Goal,
    limits: Budget,
    compared: int | None = None,
    named: str | None = None,
) -> Choice:
    """Pick the winner.

    Args:
        reports: a report per proven candidate. The float network in some format is among them.
        goal: `latency` at batch 1, `throughput` at the largest batch measured, or file `size`.
        limits: the budget.
        compared: number of lossy candidates that could have been among them; None counts those in `reports`. A search
            says beforehand how many it may make, because the number that it made followed from what it saw.
        named: name of the candidate to take if it is inside its limits; None picks the best.

    Raises:
        UsageError: no candidate has that name.
        ProofError: there are no candidates, the named one is outside its limits, or all are.
    """
    if not reports:
        raise ProofError("candidates: expected at least one to choose from, found an empty list; nothing was proven")
    if compared is None:
        compared = sum(report.lossy for report in reports)
    by_name = {report.name: report for report in reports}
    verdicts = {report.name: judge(report.quality, limits, lossy=report.lossy, compared=compared) for report in reports}
    if named is not None:
        if named not in by_name:
            raise UsageError(f"select.candidate: expected one of {', '.join(by_name)}, found {named}")
        if not verdicts[named].allowed:
            why = explain(named, by_name[named].quality, verdicts[named], limits)
            raise ProofError(f"select.candidate {why}; raise the limits in [budget] or name another candidate")
        return Choice(selected=named, why=NAMED, verdicts=verdicts)
    allowed = [report for report in reports if verdicts[report.name].allowed]
    if not allowed:
        raise ProofError(
            f"candidates: expected one inside its limits, found none of {', '.join(by_name)}; "
            "the float network, exported, always is: add it"
        )
    winner, best = winner_of(allowed, goal=goal, reference=reports[0])
    if winner.name == best.name:
        why = f"best {goal} of the {len(allowed)} candidates inside their limits"
    else:
        why = f"{best.name} shows no certain gain of {MINIMUM_GAIN:.0%} in {goal} over this simpler candidate"
    return Choice(selected=winner.name, why=why, verdicts=verdicts)


def winner_of(
    allowed: Sequence[CandidateReport], *, goal: Goal, reference: CandidateReport
) -> tuple[CandidateReport, CandidateReport]:
    """Pick the winner of candidates that are inside their limits.

    Args:
        allowed: reports on them, at least one.
        goal: what they compete in.
        reference: the first of all proven candidates. Each is compared with it round by round, as gains are claimed:
            what slowed a whole round slowed all.

    Returns:
        The winner, and the best by the goal, which a simpler winner is not certainly worse than.
    """
    costs = {report.name: cost_of(report, goal, reference=reference) for report in allowed}
    best = min(allowed, key=lambda report: costs[report.name])
    by_complexity = sorted(allowed, key=lambda report: (complexity_of(report), costs[report.name]))
    return next(report for report in by_complexity if report is best or not gains_over(best, report, goal)), best


def _points(fraction: float, *, sign: str = "") -> str:
    return f"{fraction * 100:{sign}.2f}"


def _largest_batch(report: CandidateReport) -> int:
    return max(timing.batch_size for timing in report.timings)


def cost_of(report: CandidateReport, goal: Goal, *, reference: CandidateReport) -> float:
    """Return the cost, of which less is better: the size in bytes, or the time as a multiple of the reference's."""
    if goal == "size":
        return float(report.size)
    batch = 1 if goal == "latency" else _largest_batch(report)
    return speed_up(report.timing(batch).rounds_ms, reference.timing(batch).rounds_ms).value


def gains_over(best: CandidateReport, simpler: CandidateReport, goal: Goal) -> bool:
    """Return whether `best` is really better than `simpler`, and not just in this run."""
    if goal == "size":
        return simpler.size > best.size * (1 + MINIMUM_GAIN)
    batch = 1 if goal == "latency" else _largest_batch(best)
    return speed_up(simpler.timing(batch).rounds_ms, best.timing(batch).rounds_ms).is_gain


def complexity_of(report: CandidateReport) -> tuple[int, bool]:
    """Return a sort key, simplest first.

    Fewer passes are simpler; at the same number, a file that is tied to no version of the library that wrote it is.
    """
    return (len(report.passes), not FORMATS[report.format].portable)
