"""Schedules of the learning rate, and what a warm-up in front of them does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.recipe.names import MonitorName
from pipeline.recipe.train import Plateau, StepDecay
from pipeline.training.optimize import make_optimizer
from pipeline.training.schedule import make_schedule
from pipeline.training.settings import Optimization


def rates(
    *, epochs: int = 10, figures: list[float] | None = None, monitor: MonitorName = "metric", **changes: Any
) -> list[float]:
    """The learning rate of each of ten steps in each epoch."""
    settings: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "weight_decay": 0.0}
    optimization = Optimization(**settings | changes)
    optimizer = make_optimizer(optimization, [nn.Parameter(torch.zeros(1))])
    schedule = make_schedule(optimization, optimizer, epochs=epochs, steps_per_epoch=10, monitor=monitor)
    values = []
    for epoch in range(epochs):
        for _ in range(10):
            values.append(schedule.learning_rate)
            optimizer.step()
            schedule.after_step()
        schedule.after_epoch(figures[epoch] if figures else 0.5)
    return values


def test_schedules_reach_the_peak_and_end_where_they_should() -> None:
    assert rates(schedule="constant") == [0.1] * 100
    cosine = rates(schedule="cosine")
    assert cosine[0] == pytest.approx(0.1)
    assert cosine[-1] < 1e-4
    cycle = rates(schedule="one-cycle")
    assert max(cycle) == pytest.approx(0.1, rel=1e-3)
    assert cycle.index(max(cycle)) == 29
    assert cycle[-1] < 1e-5


def test_step_falls_every_so_many_epochs() -> None:
    values = rates(schedule="step", step=StepDecay(every=4, factor=0.1))
    assert values == pytest.approx([0.1] * 40 + [0.01] * 40 + [0.001] * 20)


@pytest.mark.parametrize(("monitor", "sign"), [("metric", 1), ("loss", -1)])
def test_reduce_on_plateau_falls_after_as_many_epochs_without_gain(monitor: MonitorName, sign: int) -> None:
    scores = [0.5, 0.6, 0.6, 0.6, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9]
    figures = [score if sign > 0 else 1 - score for score in scores]
    plateau = Plateau(patience=2, factor=0.5)
    values = rates(schedule="reduce-on-plateau", plateau=plateau, figures=figures, monitor=monitor)
    assert values == [0.1] * 50 + [0.05] * 50


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle", "step", "reduce-on-plateau"])
def test_a_warm_up_rises_in_a_line_to_where_the_schedule_begins(schedule: str) -> None:
    step = StepDecay(every=5) if schedule == "step" else None
    warm = rates(schedule=schedule, step=step, warm_up=0.5)
    begins_at = 0.1 / 25 if schedule == "one-cycle" else 0.1
    assert warm[:6] == pytest.approx([begins_at * share / 6 for share in range(1, 7)])
    if schedule in ("cosine", "one-cycle"):
        assert warm[-1] < 1e-4, "it ends where it would without"
    if schedule == "step":
        assert warm[49:51] == pytest.approx([0.1, 0.01]), "epochs count from the first"


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
def test_a_warm_up_leaves_the_schedule_a_step(schedule: str) -> None:
    values = rates(schedule=schedule, warm_up=1.99, epochs=2)
    assert values[:19] == sorted(values[:19])
    assert len(values) == 20


def test_a_plateau_is_not_looked_for_while_the_rate_rises() -> None:
    values = rates(schedule="reduce-on-plateau", plateau=Plateau(patience=0, factor=0.5), warm_up=3, figures=[0.5] * 10)
    assert max(values) == values[30] == pytest.approx(0.1)
    assert values[40] == pytest.approx(0.05)


@pytest.mark.parametrize(("momentum", "seen"), [(None, {0.85, 0.95}), (0.7, {0.7})])
def test_one_cycle_leaves_a_momentum_that_the_recipe_sets(momentum: float | None, seen: set[float]) -> None:
    optimization = Optimization(
        optimizer="sgd", learning_rate=0.1, weight_decay=0, schedule="one-cycle", momentum=momentum
    )
    optimizer = make_optimizer(optimization, [nn.Parameter(torch.zeros(1))])
    schedule = make_schedule(optimization, optimizer, epochs=1, steps_per_epoch=100, monitor="metric")
    momenta = []
    for _ in range(100):
        momenta.append(float(optimizer.param_groups[0]["momentum"]))
        optimizer.step()
        schedule.after_step()
    assert {min(momenta), max(momenta)} == seen


def test_a_warm_up_is_as_long_in_a_longer_run() -> None:
    short, longer = (rates(schedule="constant", warm_up=0.96, epochs=epochs) for epochs in (1, 2))
    assert longer[: len(short)] == short
