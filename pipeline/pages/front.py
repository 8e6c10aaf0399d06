"""Which candidates are worth a look: the Pareto front of two costs that are known with intervals only."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.measure.gain import MINIMUM_GAIN, speed_up

Cost = Literal["latency", "size"]


@dataclass(frozen=True, kw_only=True)
class Point:
    """One candidate in the picture.

    Args:
        name: for people.
        drop: of accuracy against float, as a fraction.
        drop_low: lower end of its interval.
        drop_high: the bound that is held against the budget.
        latency_ms: at batch size 1, one value per round; the same index is the same round for every candidate.
        size: of the file, in bytes.
        allowed: whether it is inside its limits.
        overturns: whether it is refused for answers that float was sure of, however small its drop.
        selected: whether it was chosen.
    """

    name: str
    drop: float
    drop_low: float
    drop_high: float
    latency_ms: tuple[float, ...]
    size: int
    allowed: bool
    overturns: bool
    selected: bool


def pareto_front(points: Sequence[Point], cost: Cost) -> tuple[str, ...]:
    """The points that no other one beats.

    One beats another where it is no worse in drop nor in cost, as measured, and certainly better in one of them. A drop
    is certainly lower where the intervals do not touch; a latency where a gain may be claimed (`Ratio.is_gain`); a
    size where it is more than 3 % smaller. So of two that cannot be told apart, both stay.

    Args:
        points: in any order.
        cost: what is held against the drop.

    Returns:
        Names, in the order given.
    """
    return tuple(
        one.name for one in points if not any(_beats(other, one, cost) for other in points if other is not one)
    )


def staircase(points: Sequence[Point], cost: Cost) -> tuple[str, ...]:
    """The points of which no other one is measured to be cheaper at no larger a drop.

    All of them are on the `pareto_front`, where there may be more: points that are measured to be worse than one of
    these, and not certainly.

    Args:
        points: in any order.
        cost: what is held against the drop.

    Returns:
        Names, the cheapest first: each costs more than the one before, and loses less.
    """
    steps: list[Point] = []
    for one in sorted(points, key=lambda one: (_measured(one, cost), one.drop, one.name)):
        if not steps or one.drop < steps[-1].drop:
            steps.append(one)
    return tuple(one.name for one in steps)


def _beats(one: Point, other: Point, cost: Cost) -> bool:
    if one.drop > other.drop or _measured(one, cost) > _measured(other, cost):
        return False
    return one.drop_high < other.drop_low or _certainly_cheaper(one, other, cost)


def _measured(one: Point, cost: Cost) -> float:
    return one.size if cost == "size" else statistics.median(one.latency_ms)


def _certainly_cheaper(one: Point, other: Point, cost: Cost) -> bool:
    if cost == "size":
        return other.size > one.size * (1 + MINIMUM_GAIN)
    return speed_up(other.latency_ms, one.latency_ms).is_gain
