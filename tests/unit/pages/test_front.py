"""The front holds the candidates that no other one beats."""

from __future__ import annotations

import pytest

from pipeline.pages.front import Point, pareto_front, staircase

JITTER = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0, 1.002, 0.998, 1.0)


def point(name: str, *, ms: float = 1.0, drop: float = 0.0, wide: float = 0.0, size: int = 1000) -> Point:
    return Point(
        name=name,
        drop=drop,
        drop_low=drop - wide,
        drop_high=drop + wide,
        latency_ms=tuple(ms * factor for factor in JITTER),
        size=size,
        allowed=True,
        overturns=False,
        selected=False,
    )


def test_faster_and_as_accurate_beats() -> None:
    assert pareto_front([point("slow", ms=2), point("fast", ms=1)], "latency") == ("fast",)
    assert pareto_front([point("large", size=2000), point("small", size=1000)], "size") == ("small",)


def test_each_better_in_one_both_stay() -> None:
    points = [point("exact", ms=2), point("fast", ms=1, drop=0.02, wide=0.001)]
    assert pareto_front(points, "latency") == ("exact", "fast")


def test_certainly_more_accurate_at_the_same_speed_beats() -> None:
    points = [point("worse", drop=0.02, wide=0.001), point("better")]
    assert pareto_front(points, "latency") == ("better",)


@pytest.mark.parametrize("cost", ["latency", "size"])
def test_what_cannot_be_told_apart_stays(cost: str) -> None:
    # 2 % faster and smaller, and drops whose intervals touch
    points = [
        point("a", ms=1.02, size=1020, drop=0.011, wide=0.005),
        point("b", ms=1.0, size=1000, drop=0.01, wide=0.005),
    ]
    assert pareto_front(points, "latency" if cost == "latency" else "size") == ("a", "b")


def test_a_chain_of_overlapping_intervals_removes_no_end_of_it() -> None:
    # Each is faster than the one before, at a drop that only just cannot be told from it.
    points = [point(str(step), ms=1 / (1 + step), drop=0.01 * step, wide=0.006) for step in range(5)]
    assert pareto_front(points, "latency") == ("0", "1", "2", "3", "4")


def test_equal_ones_stay_and_one_alone_does() -> None:
    assert pareto_front([point("a"), point("b")], "latency") == ("a", "b")
    assert pareto_front([point("a")], "size") == ("a",)
    assert pareto_front([], "size") == ()


def test_the_line_goes_through_what_is_measured_to_be_best_alone() -> None:
    points = [
        point("a", ms=1.02, drop=0.011, wide=0.005),  # on the front: not certainly worse than b
        point("b", ms=1.0, drop=0.01, wide=0.005),
        point("exact", ms=3.0),
        point("fast", ms=0.5, drop=0.02, wide=0.001),
        point("beaten", ms=4.0, drop=0.03, wide=0.001),
    ]
    assert pareto_front(points, "latency") == ("a", "b", "exact", "fast")
    assert staircase(points, "latency") == ("fast", "b", "exact")
    costs = {candidate.name: candidate.latency_ms[0] for candidate in points}
    drops = {candidate.name: candidate.drop for candidate in points}
    line = staircase(points, "latency")
    assert [costs[name] for name in line] == sorted(costs[name] for name in line)
    assert [drops[name] for name in line] == sorted((drops[name] for name in line), reverse=True)
    assert staircase([], "size") == ()
