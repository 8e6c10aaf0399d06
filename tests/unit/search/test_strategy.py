"""What a search tries next, and when it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest

from pipeline.search.strategy import EFFORTS, Effort, Strategy, Trial, epochs_for, next_cost, variant_name
from pipeline.search.widths import Plan, Sensitivity, plans

EFFORT = Effort(networks=6, epochs=1, first=0.2, resolution=1.5)


def trials(*found: tuple[float, bool]) -> list[Trial]:
    return [Trial(cost=cost, fits=fits) for cost, fits in found]


def test_it_goes_narrower_while_networks_fit_and_wider_while_none_does() -> None:
    assert next_cost([], EFFORT) == 0.2
    assert next_cost(trials((0.2, True)), EFFORT) == pytest.approx(0.08)
    assert next_cost(trials((0.2, False)), EFFORT) == pytest.approx(0.5)
    assert next_cost(trials((0.2, False), (0.4, False)), EFFORT) == pytest.approx(0.7), "wider could gain nothing"
    assert next_cost(trials((0.2, False), (0.5, False)), EFFORT) is None, "near enough to the widest"
    assert next_cost(trials((0.01, True)), EFFORT) == pytest.approx(0.005), "a call costs what any call costs"
    assert next_cost(trials((0.006, True)), EFFORT) is None


def test_then_it_halves_what_lies_between_in_ratios() -> None:
    assert next_cost(trials((0.2, True), (0.08, False)), EFFORT) == pytest.approx(0.1265, abs=1e-4)
    assert next_cost(trials((0.2, True), (0.15, False)), EFFORT) is None, "near enough"
    surprising = trials((0.2, True), (0.08, True), (0.5, False))
    assert next_cost(surprising, EFFORT) == pytest.approx(0.032), "what is wider than a fitting one does not count"


def test_it_ends_with_the_number_of_networks() -> None:
    many = trials(*[(0.2 / 2**step, True) for step in range(6)])
    assert next_cost(many[:3], EFFORT) is not None
    assert next_cost(many, EFFORT) is None
    assert EFFORTS["deep"].networks > EFFORTS["quick"].networks


def test_a_narrower_network_is_tuned_for_longer() -> None:
    assert [epochs_for(cost, EFFORTS["quick"]) for cost in (1.0, 0.25, 0.04)] == [2, 4, 10]
    assert epochs_for(0.25, EFFORTS["deep"]) == 20


class Widths:
    """Costs of plans of two layers, of which the wide one costs three times as much, in place of a traced network."""

    sensitivities = (
        Sensitivity(layer="wide", divergence={0.5: 0.1, 0.25: 0.3, 0.125: 0.5}),
        Sensitivity(layer="small", divergence={0.5: 0.2, 0.25: 0.4}),
    )

    def __init__(self) -> None:
        self.plans = plans(self.sensitivities, round_to=8)

    def cost(self, plan: Plan) -> float:
        shares = dict(plan.shares)
        return 0.75 * shares.get("wide", 1.0) + 0.25 * shares.get("small", 1.0)

    def nearest(self, cost: float) -> Plan:
        return min(self.plans, key=lambda plan: abs(self.cost(plan) - cost))


def always(_narrower: Sequence[Any], _wider: Sequence[Any]) -> bool:
    return True


def descend(
    fits: Callable[[dict[str, float]], bool], *, gains: Callable[..., bool] = always, networks: int = 9
) -> tuple[list[dict[str, float]], Strategy, bool]:
    seen: list[dict[str, float]] = []

    def attempt(plan: Plan, _cost: float) -> list[Any]:
        seen.append(dict(plan.shares))
        return [plan] if fits(seen[-1]) else []

    strategy = Strategy(
        effort=Effort(networks=networks, epochs=1, first=0.5, resolution=1.1), attempt=attempt, gains=gains
    )
    ladder: Any = Widths()
    narrower_may_be_better = strategy.bisect(ladder)
    if narrower_may_be_better:
        strategy.narrow_layers(ladder, Widths.sensitivities)
    return seen, strategy, narrower_may_be_better


def test_after_all_layers_together_one_at_a_time_is_narrowed() -> None:
    seen, strategy, _ = descend(lambda shares: shares.get("small", 1.0) >= 0.5)
    assert strategy.best is not None
    assert dict(strategy.best[0].shares) == {"wide": 0.125, "small": 0.5}, "no plan of the ladder"
    assert len(seen) == len({tuple(one.items()) for one in seen}), "nothing is made twice"


def test_no_layer_is_narrowed_alone_where_no_network_fits_or_none_gains_or_all_are_made() -> None:
    seen, strategy, _ = descend(lambda _: False)
    assert strategy.best is None
    assert {tuple(one.items()) for one in seen} <= {plan.shares for plan in Widths().plans}
    seen, _, may = descend(lambda _: True, gains=lambda _narrower, _wider: False)
    assert not may
    assert len(seen) == 2
    seen, _, _ = descend(lambda shares: shares.get("small", 1.0) >= 0.5, networks=3)
    assert len(seen) == 3


def test_a_layer_whose_narrowing_gains_nothing_keeps_its_width() -> None:
    seen: list[dict[str, float]] = []

    def attempt(plan: Plan, _cost: float) -> list[Any]:
        seen.append(dict(plan.shares))
        return [plan]

    def small_helps(narrower: Sequence[Any], wider: Sequence[Any]) -> bool:
        return bool(dict(narrower[0].shares)["wide"] == dict(wider[0].shares)["wide"])

    ladder: Any = Widths()
    strategy = Strategy(effort=EFFORT, attempt=attempt, gains=small_helps)
    start: Any = Plan((("wide", 0.5),), 8)
    strategy.best = (start, [start])
    strategy.narrow_layers(ladder, Widths.sensitivities)
    assert seen == [{"wide": 0.25}, {"wide": 0.5, "small": 0.5}, {"wide": 0.5, "small": 0.25}]
    assert dict(strategy.best[0].shares) == seen[-1]


def test_what_saves_next_to_nothing_is_not_made() -> None:
    class Even(Widths):
        def cost(self, plan: Plan) -> float:
            return super().cost(Plan(tuple((name, share) for name, share in plan.shares if name == "wide"), 8))

    ladder: Any = Even()
    strategy = Strategy(effort=EFFORT, attempt=lambda plan, _: [cast("Any", plan)], gains=always)
    strategy.best = (Plan((("wide", 0.125),), 8), [])
    strategy.narrow_layers(ladder, Widths.sensitivities)
    assert not strategy.trials, "the small layer costs nothing, and the wide one has no further level"


def test_networks_that_cost_the_same_have_names_of_their_own() -> None:
    names: list[str] = []
    for _ in range(3):
        names.append(variant_name(0.0788, names))
    assert names == ["slim7.88", "slim7.88.2", "slim7.88.3"]
