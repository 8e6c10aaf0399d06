"""What the winner follows from under any budget, as figures: a page can then say who would win, as a build does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.candidates.choose import Verdict, complexity_of, cost_of, gains_over, is_calm
from pipeline.candidates.report import CandidateReport
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One candidate as `choose` sees it, whatever the budget.

    Args:
        name: name of the candidate.
        bound: bound of its drop that a budget is compared with, as a fraction; None where it is lossless.
        calm: whether it turns few enough answers that float was sure of.
        cost: what it costs by the goal; less is better.
        rank: place among the candidates by complexity, from 0 for the simplest; equally simple ones share it.
        no_gain_over: names of the candidates over which it shows no certain gain; empty where no budget makes it the
            cheapest of those inside their limits.
    """

    name: str
    bound: float | None
    calm: bool
    cost: float
    rank: int
    no_gain_over: tuple[str, ...]


def contestants(
    reports: Sequence[CandidateReport], *, verdicts: Mapping[str, Verdict], goal: Goal, limits: Budget
) -> tuple[Contestant, ...]:
    """Gather what `choose` decides by, for every budget at once.

    Args:
        reports: reports on the proven candidates, in the order in which `choose` gets them.
        verdicts: verdicts by candidate, whose bounds are adjusted for the number that was compared.
        goal: what the candidates compete in.
        limits: the limits besides the budget of the drop.

    Returns:
        A contestant per report, in the same order.
    """
    costs = {report.name: cost_of(report, goal, reference=reports[0]) for report in reports}
    bounds = {report.name: verdicts[report.name].adjusted_drop_upper if report.lossy else None for report in reports}
    ranks = {complexity: rank for rank, complexity in enumerate(sorted({complexity_of(report) for report in reports}))}
    able = [report for report in reports if not report.lossy or is_calm(report.quality, limits)]
    cheapest = _ever_cheapest([report.name for report in able], costs=costs, bounds=bounds)
    return tuple(
        Contestant(
            name=report.name,
            bound=bounds[report.name],
            calm=not report.lossy or is_calm(report.quality, limits),
            cost=costs[report.name],
            rank=ranks[complexity_of(report)],
            no_gain_over=tuple(
                other.name for other in able if report.name in cheapest and not gains_over(report, other, goal)
            ),
        )
        for report in reports
    )


def _ever_cheapest(
    names: Sequence[str], *, costs: Mapping[str, float], bounds: Mapping[str, float | None]
) -> frozenset[str]:
    """Return the names that are the cheapest ones inside some budget; of equal costs the first counts.

    Args:
        names: names of the candidates that a budget may let in, in their order.
        costs: costs by name.
        bounds: bounds by name; None is inside any budget.
    """
    lossless = [name for name in names if bounds[name] is None]
    bounded = {name: bound for name in names if (bound := bounds[name]) is not None}
    inside = [
        [name for name in names if name not in bounded or bounded[name] <= budget]
        for budget in sorted(set(bounded.values()))
    ]
    return frozenset(min(group, key=costs.__getitem__) for group in (lossless, *inside) if group)
