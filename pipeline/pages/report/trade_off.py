"""The picture of what candidates lose and gain, as data."""

from __future__ import annotations

from pipeline.engine.documents import Document
from pipeline.pages.report.table import State
from pipeline.recipe.candidates import Goal


class Point(Document):
    """One candidate in the picture.

    Args:
        name: name of the candidate.
        drop: drop against float, as a fraction.
        low: lower end of its interval.
        high: upper bound that is compared with the budget.
        state: how it stands.
    """

    name: str
    drop: float
    low: float
    high: float
    state: State


class Rival(Document):
    """What the page needs to tell who would win; `pipeline.candidates.contest` explains the fields."""

    name: str
    bound: float | None
    calm: bool
    cost: float
    rank: int
    no_gain_over: tuple[str, ...]


class Axis(Document):
    """One cost that the drop is drawn against.

    Args:
        goal: the goal whose cost it is.
        name: what the switch calls it.
        label: what stands at the axis, with the unit.
        unit: unit of the costs.
        costs: value, and both ends of its interval, by candidate.
        front: names of the candidates that no other one certainly beats.
        rivals: what the winner by this goal follows from; empty where that cannot be told.
    """

    goal: Goal
    name: str
    label: str
    unit: str
    costs: dict[str, tuple[float, float, float]]
    front: tuple[str, ...] = ()
    rivals: tuple[Rival, ...] = ()


class TradeOff(Document):
    """The picture of what candidates lose and gain.

    Args:
        drop_name: what a candidate may lose, such as accuracy against float.
        budget: the largest drop allowed, as a fraction.
        minimum_gain: smallest gain over a simpler candidate that counts, as a fraction.
        goal: the goal of the recipe.
        axes: costs to choose from.
        points: the candidates with figures.
        named: candidate that the recipe selects by name; empty where it leaves the choice to the build.
        note: what the picture does not say.
    """

    drop_name: str
    budget: float
    minimum_gain: float
    goal: Goal
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    named: str = ""
    note: str = ""
