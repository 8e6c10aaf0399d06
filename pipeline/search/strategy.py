"""Decides which network a search tries next: first all layers get narrower together, then one at a time."""

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
        networks: largest number of networks that are trained.
        epochs: epochs of fine-tuning for a network as costly as float. A cheaper one gets more, see `epochs_for`.
        first: cost of the first network, as a share of the float network's.
        resolution: ratio of costs at which bisection ends. It compares the narrowest network that fits with the widest
            that does not.
    """

    networks: int
    epochs: int
    first: float
    resolution: float


EFFORTS = {
    "quick": Effort(networks=4, epochs=2, first=0.15, resolution=1.6),
    "deep": Effort(networks=10, epochs=10, first=0.08, resolution=1.15),
}
# Bounds of a network's cost, as shares of the float network's. A wider network has nothing to gain; a call of a
# narrower one costs what any call costs.
_WIDEST, _NARROWEST = 0.7, 0.005
_STEP = 2.5
# Logarithm of the ratio of two costs below which bisection takes two networks of the ladder for the same one.
_SAME_COST = 0.02


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One network that was tried.

    Args:
        cost: its cost, as a share of the float network's.
        fits: whether a candidate of it is inside the budget.
    """

    cost: float
    fits: bool


def next_cost(trials: Sequence[Trial], effort: Effort) -> float | None:
    """Return the cost of the network to try next, by bisection in ratios between what fits and what does not.

    Returns:
        The cost as a share of the float network's; None where nothing is left to try.
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
    """Return the epochs of fine-tuning. A narrower network has more to win back, so it gets more.

    Args:
        cost: cost of the network, as a share of the float network's.
        effort: effort of the search.
    """
    return max(1, round(effort.epochs / math.sqrt(cost)))


def variant_name(cost: float, names: Container[str]) -> str:
    """Return a name for a network.

    Args:
        cost: cost of the network, as a share of the float network's.
        names: names that are taken. Some of those networks may cost as much.
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
        attempt: function that makes a network of a plan and its cost, and returns its candidates inside the budget.
        gains: function that says whether the first candidates are better than the others by the search's goal.
        trials: the networks that were tried so far.
        best: the last network inside the budget that gained over the one before it, and its candidates there.
    """

    effort: Effort
    attempt: Callable[[Plan, float], list[CandidateReport]]
    gains: Callable[[Sequence[CandidateReport], Sequence[CandidateReport]], bool]
    trials: dict[Plan, Trial] = field(default_factory=dict)
    best: tuple[Plan, list[CandidateReport]] | None = None

    @property
    def spent(self) -> bool:
        """Whether as many networks are made as the effort allows."""
        return len(self.trials) >= self.effort.networks

    def bisect(self, ladder: Ladder) -> bool:
        """Narrow all layers together, and return whether narrower networks may be better still."""
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
        """From the best network on, narrow one layer at a time, first the one that saves most, until none is left."""
        settled: set[str] = set()
        while self.best is not None and not self.spent:
            plan, candidates = self.best
            most = ladder.cost(plan) / (1 + MINIMUM_GAIN)  # a network that saves less can hardly gain
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
