"""What a search tries next, and when it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.candidates.search import EFFORTS, Clock, Effort, TimeIsUpError, Trial, epochs_for, next_cost
from pipeline.candidates.widths import Plan, Sensitivity, plans
from pipeline.stage import Silent

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


def test_plans_narrow_every_layer_as_far_as_the_answers_may_move() -> None:
    made = plans(
        [
            Sensitivity(layer="wide", divergence={0.5: 0.01, 0.25: 0.02}),
            Sensitivity(layer="delicate", divergence={0.5: 0.02, 0.25: 0.3}),
            Sensitivity(layer="narrow", divergence={}),
        ]
    )
    assert made == [
        Plan((("wide", 0.5),)),
        Plan((("wide", 0.25), ("delicate", 0.5))),
        Plan((("wide", 0.25), ("delicate", 0.25))),
    ]
    assert made[1].pruning.layers == {"wide": 0.25, "delicate": 0.5}
    assert made[1].pruning.keep == 1.0


def test_the_clock_counts_over_interruptions_and_ends_what_reports_progress(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("pipeline.candidates.search.time.monotonic", lambda: now[0])
    clock = Clock(tmp_path / "seconds", 10, Silent())
    now[0] += 6
    clock.progress("fine-tune", 1, 3)
    again = Clock(tmp_path / "seconds", 10, Silent())
    assert again.used_s == pytest.approx(6)
    now[0] += 5
    again.progress("fine-tune", 3, 3)
    with pytest.raises(TimeIsUpError):
        again.progress("fine-tune", 1, 3)
