"""Compute the Pareto front: the candidates worth a look when two costs are known with intervals only."""

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
        name: name for people.
        drop: drop of accuracy against float, as a fraction.
        drop_low: lower end of its interval.
        drop_high: upper bound that is compared with the budget.
        latency_ms: latency at batch size 1, one value per round; an index is the same round for every candidate.
        size: size of the file, in bytes.
        allowed: whether it is inside its limits.
        overturns: whether it is refused because it turned answers that float was sure of, however small its drop.
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
    """The points that no other point beats.

    A point beats another where it is measured to be no worse in drop and in cost, and is certainly better in one of
    them. A drop is certainly lower where the intervals do not touch; a latency where a gain may be claimed
    (`Ratio.is_gain`); a size where it is more than 3 % smaller. So two points that cannot be told apart both stay.

    Args:
        points: points in any order.
        cost: cost that is compared along with the drop.

    Returns:
        Names, in the order of the points.
    """
    return tuple(
        point.name for point in points if not any(_beats(rival, point, cost) for rival in points if rival is not point)
    )


def staircase(points: Sequence[Point], cost: Cost) -> tuple[str, ...]:
    """The points for which no other point is measured to be cheaper at a drop that is no larger.

    All of them are on the `pareto_front`. The front may hold more: points that are measured to be worse than one of
    these, but not certainly.

    Args:
        points: points in any order.
        cost: cost that is compared along with the drop.

    Returns:
        Names, the cheapest first: each point costs more than the point before, and loses less.
    """
    steps: list[Point] = []
    for point in sorted(points, key=lambda point: (_cost_of(point, cost), point.drop, point.name)):
        if not steps or point.drop < steps[-1].drop:
            steps.append(point)
    return tuple(point.name for point in steps)


def _beats(rival: Point, point: Point, cost: Cost) -> bool:
    if rival.drop > point.drop or _cost_of(rival, cost) > _cost_of(point, cost):
        return False
    return rival.drop_high < point.drop_low or _certainly_cheaper(rival, point, cost)


def _cost_of(point: Point, cost: Cost) -> float:
    return point.size if cost == "size" else statistics.median(point.latency_ms)


def _certainly_cheaper(rival: Point, point: Point, cost: Cost) -> bool:
    if cost == "size":
        return point.size > rival.size * (1 + MINIMUM_GAIN)
    return speed_up(point.latency_ms, rival.latency_ms).is_gain
