"""Which network a search tries next: all layers narrower together, then one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import SLIM
from pipeline.candidates.widths import Ladder, Plan, Sensitivity, narrower


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a search tries.

    Args:
        networks: at most so many are trained.
        epochs: of fine-tuning for a network as costly as float; a cheaper one gets more, see `epochs_for`.
        first: cost of the first network, as a share of the float network's.
        resolution: the search ends when the narrowest that fits and the widest that does not are so near in cost.
    """

    networks: int
    epochs: int
    first: float
    resolution: float


EFFORTS = {
    "quick": Effort(networks=4, epochs=2, first=0.15, resolution=1.6),
    "deep": Effort(networks=10, epochs=10, first=0.08, resolution=1.15),
}
# Of the float network's cost. Wider, there is nothing to gain; narrower, a call costs what any call costs.
_WIDEST, _NARROWEST = 0.7, 0.005
_STEP = 2.5
# Networks nearer in cost, as the logarithm of the ratio, are one and the same for all that matters.
_SAME_COST = 0.02


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One network that was tried: its cost, as a share of the float network's, and whether a candidate of it fits."""

    cost: float
    fits: bool


def next_cost(trials: Sequence[Trial], effort: Effort) -> float | None:
    """The cost of the network to try next: bisection between what fits and what does not, in ratios.

    Returns:
        As a share of the float network's cost; None where nothing is left to try.
    """
    if len(trials) >= effort.networks:
        return None
    fitting = min((one.cost for one in trials if one.fits), default=None)
    failing = max((one.cost for one in trials if not one.fits and one.cost < (fitting or math.inf)), default=None)
    if fitting is not None and failing is not None:
        return math.sqrt(fitting * failing) if fitting / failing > effort.resolution else None
    if fitting is not None:
        narrower = max(fitting / _STEP, _NARROWEST)
        return narrower if fitting / narrower > effort.resolution else None
    if failing is not None:
        wider = min(failing * _STEP, _WIDEST)
        return wider if wider / failing > effort.resolution else None
    return effort.first


def epochs_for(cost: float, effort: Effort) -> int:
    """Epochs of fine-tuning: the narrower, the more there is to win back, and the less time an epoch takes.

    Args:
        cost: as a share of the float network's.
        effort: of the search.
    """
    return max(1, round(effort.epochs / math.sqrt(cost)))


def variant(cost: float) -> str:
    """The name of a network of such a cost, as a share of the float network's."""
    return f"{SLIM}{cost * 100:.3g}"


@dataclass(kw_only=True)
class Descent:
    """The way from one network to the next.

    Args:
        effort: how much is tried.
        attempt: makes a network of a plan and its cost; its candidates inside the budget.
        gains: whether the first candidates are better than the others in what is searched for.
        trials: networks so far.
        best: the narrowest network inside the budget so far, and its candidates.
    """

    effort: Effort
    attempt: Callable[[Plan, float], list[CandidateReport]]
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool]
    trials: list[Trial] = field(default_factory=list)
    best: tuple[Plan, list[CandidateReport]] | None = None

    def bisect(self, ladder: Ladder) -> bool:
        """Narrow all layers together; whether narrower ones may be better still."""
        while ladder.plans and (wanted := next_cost(self.trials, self.effort)) is not None:
            plan = ladder.nearest(wanted)
            cost = ladder.cost(plan)
            if any(abs(math.log(cost / one.cost)) < _SAME_COST for one in self.trials):
                break  # no other network lies between
            narrowest = all(cost < one.cost for one in self.trials if one.fits)
            fitting = self._try(plan, cost)
            if fitting and narrowest:
                if self.best is not None and not self.gains(fitting, self.best[1]):
                    return False
                self.best = (plan, fitting)
        return True

    def narrow_layers(self, ladder: Ladder, sensitivities: Sequence[Sensitivity]) -> None:
        """From the best network on, narrow one layer at a time, the one first that saves most, until none may be."""
        settled: set[str] = set()
        while self.best is not None and len(self.trials) < self.effort.networks:
            plans_by_layer = narrower(self.best[0], sensitivities)
            moves = {layer: ladder.cost(plan) for layer, plan in plans_by_layer.items() if layer not in settled}
            if not moves:
                break
            layer = min(moves, key=lambda one: moves[one])
            settled.add(layer)
            if any(variant(moves[layer]) == variant(one.cost) for one in self.trials):
                continue
            fitting = self._try(plans_by_layer[layer], moves[layer])
            if fitting and self.gains(fitting, self.best[1]):
                self.best = (plans_by_layer[layer], fitting)
                settled.remove(layer)

    def _try(self, plan: Plan, cost: float) -> list[CandidateReport]:
        fitting = self.attempt(plan, cost)
        self.trials.append(Trial(cost=cost, fits=bool(fitting)))
        return fitting
