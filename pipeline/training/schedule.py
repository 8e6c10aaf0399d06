"""Schedules of the learning rate, by the names that a recipe uses, with a warm-up in front of any."""

from __future__ import annotations

import math
import warnings
from typing import Any, assert_never

from torch import optim
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    StepLR,
)

from pipeline.recipe.names import MonitorName
from pipeline.training.settings import Optimization

# One-cycle goes up for this share of the steps, as in torch's default and in Smith (arXiv:1708.07120).
ONE_CYCLE_RISE = 0.3


class Schedule:
    """The learning rate of an optimizer, which follows the steps and epochs of a training."""

    def __init__(self, optimizer: optim.Optimizer, after_warm_up: LRScheduler, *, warm_up: int) -> None:
        """Set the learning rate of the first step.

        Args:
            optimizer: optimizer whose learning rate is set.
            after_warm_up: schedule that begins where the warm-up ends; it has set the learning rate of its first step.
            warm_up: number of steps in which the learning rate rises to that.
        """
        self._optimizer = optimizer
        self._after_warm_up = after_warm_up
        self._warm_up = warm_up
        self._steps = 0
        self._begins_at = [float(group["lr"]) for group in optimizer.param_groups]
        if warm_up:
            self._warm()

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimizer.param_groups[0]["lr"])

    def after_step(self) -> None:
        """Follow a step of the optimizer."""
        self._steps += 1
        if self._steps <= self._warm_up:
            self._warm()
        elif not isinstance(self._after_warm_up, StepLR | ReduceLROnPlateau):
            self._step()

    def after_epoch(self, monitored: float) -> None:
        """Follow an epoch.

        Args:
            monitored: figure on the validation split by which `reduce-on-plateau` goes.
        """
        if isinstance(self._after_warm_up, StepLR):
            self._step()
        elif isinstance(self._after_warm_up, ReduceLROnPlateau) and self._steps >= self._warm_up:
            self._after_warm_up.step(monitored)

    def state_dict(self) -> dict[str, Any]:
        """All that changes, besides the learning rates, which the optimizer holds."""
        return {"steps": self._steps, "after_warm_up": self._after_warm_up.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._steps = state["steps"]
        self._after_warm_up.load_state_dict(state["after_warm_up"])

    def _warm(self) -> None:
        share = (self._steps + 1) / (self._warm_up + 1)
        for group, begins_at in zip(self._optimizer.param_groups, self._begins_at, strict=True):
            group["lr"] = begins_at * min(1.0, share)

    def _step(self) -> None:
        with warnings.catch_warnings():
            # Torch warns where the optimizer made no step before its schedule, as when the gradients of the first
            # batches overflow in fp16 and these steps are left out.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step", category=UserWarning)
            self._after_warm_up.step()


def make_schedule(
    settings: Optimization, optimizer: optim.Optimizer, *, epochs: int, steps_per_epoch: int, monitor: MonitorName
) -> Schedule:
    """Build the schedule of a training.

    Args:
        settings: schedule with its settings.
        optimizer: optimizer whose learning rate is set.
        epochs: number of epochs in the whole run.
        steps_per_epoch: number of the optimizer's steps in one of them.
        monitor: figure by which `reduce-on-plateau` goes; the metric should rise, the loss fall.
    """
    # It is shorter than the run, so that at least one step is left for the schedule.
    warm_up = math.floor(settings.warm_up * steps_per_epoch)
    steps = epochs * steps_per_epoch - warm_up
    rate = settings.learning_rate
    after_warm_up: LRScheduler
    match settings.schedule:
        case "constant":
            after_warm_up = ConstantLR(optimizer, factor=1.0, total_iters=0)
        case "cosine":
            after_warm_up = CosineAnnealingLR(optimizer, T_max=steps)
        case "one-cycle":
            # A momentum that the recipe sets stays; the usual one of sgd, adam and adamw falls and rises with the rate.
            cycles = settings.momentum is None and settings.optimizer != "rmsprop"
            after_warm_up = OneCycleLR(
                optimizer, max_lr=rate, total_steps=steps, pct_start=ONE_CYCLE_RISE, cycle_momentum=cycles
            )
        case "step":
            assert settings.step is not None  # the recipe checks it
            after_warm_up = StepLR(optimizer, step_size=settings.step.every, gamma=settings.step.factor)
        case "reduce-on-plateau":
            plateau = settings.plateau
            after_warm_up = ReduceLROnPlateau(
                optimizer,
                mode="max" if monitor == "metric" else "min",
                factor=plateau.factor,
                patience=plateau.patience,
                threshold=plateau.min_gain,
                min_lr=plateau.lowest,
            )
        case _:
            assert_never(settings.schedule)
    return Schedule(optimizer, after_warm_up, warm_up=warm_up)
