"""Which network a search tries next: all layers narrower together, then one at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from itertools import count

from pipeline.candidates.report import CandidateReport
from pipeline.measure.gain import MINIMUM_GAIN
from pipeline.recipe.names import SLIM
from pipeline.search.widths import Ladder, Plan, Sensitivity, narrower


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much a search tries.

    Args:
        networks: at most so many are trained.
        epochs: of fine-tuning for a network as costly as float; a cheaper one gets more, see `epochs_for`.
        first: cost of the first network, as a share of the float network's.
        resolution: bisection ends when the narrowest that fits and the widest that does not are so near in cost.
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
# Networks of the ladder that are nearer in cost, as the logarithm of the ratio, are one and the same to bisection.
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
    fitting = min((trial.cost for trial in trials if trial.fits), default=None)
    failing = max(
        (trial.cost for trial in trials if not trial.fits and trial.cost < (fitting or math.inf)), default=None
    )
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
    """Epochs of fine-tuning: the narrower, the more there is to win back.

    Args:
        cost: as a share of the float network's.
        effort: of the search.
    """
    return max(1, round(effort.epochs / math.sqrt(cost)))


def variant_name(cost: float, names: Container[str]) -> str:
    """A name for a network.

    Args:
        cost: as a share of the float network's.
        names: names of others, of which some may cost as much.
    """
    name = f"{SLIM}{cost * 100:.3g}"
    if name not in names:
        return name
    return next(numbered for number in count(2) if (numbered := f"{name}.{number}") not in names)


@dataclass(kw_only=True)
class Strategy:
    """The way from one network to the next.

    Args:
        effort: how much is tried.
        attempt: makes a network of a plan and its cost; its candidates inside the budget.
        gains: whether the first candidates are better than the others in what is searched for.
        trials: networks so far.
        best: the network inside the budget that gained over the one before it, and its candidates there.
    """

    effort: Effort
    attempt: Callable[[Plan, float], list[CandidateReport]]
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool]
    trials: dict[Plan, Trial] = field(default_factory=dict)
    best: tuple[Plan, list[CandidateReport]] | None = None

    @property
    def spent(self) -> bool:
        """Whether as many networks are made as may be."""
        return len(self.trials) >= self.effort.networks

    def bisect(self, ladder: Ladder) -> bool:
        """Narrow all layers together; whether narrower ones may be better still."""
        while ladder.plans and (target := next_cost(list(self.trials.values()), self.effort)) is not None:
            plan = ladder.nearest(target)
            cost = ladder.cost(plan)
            if any(abs(math.log(cost / trial.cost)) < _SAME_COST for trial in self.trials.values()):
                break  # no other network of the ladder lies between
            narrowest = all(cost < trial.cost for trial in self.trials.values() if trial.fits)
            fitting = self._try(plan, cost)
            if fitting and narrowest:
                if self.best is not None and not self.gains(fitting, self.best[1]):
                    return False
                self.best = (plan, fitting)
        return True

    def narrow_layers(self, ladder: Ladder, sensitivities: Sequence[Sensitivity]) -> None:
        """From the best network on, narrow one layer at a time, the one first that saves most, until none may be."""
        settled: set[str] = set()
        while self.best is not None and not self.spent:
            plan, candidates = self.best
            most = ladder.cost(plan) / (1 + MINIMUM_GAIN)  # what saves less can hardly gain
            moves = {layer: move for layer, move in narrower(plan, sensitivities).items() if layer not in settled}
            costs = {layer: cost for layer, move in moves.items() if (cost := ladder.cost(move)) < most}
            if not costs:
                break
            layer = min(costs, key=lambda name: costs[name])
            settled.add(layer)
            if moves[layer] in self.trials:
                continue
            fitting = self._try(moves[layer], costs[layer])
            if fitting and self.gains(fitting, candidates):
                self.best = (moves[layer], fitting)
                settled.remove(layer)

    def _try(self, plan: Plan, cost: float) -> list[CandidateReport]:
        fitting = self.attempt(plan, cost)
        self.trials[plan] = Trial(cost=cost, fits=bool(fitting))
        return fitting
