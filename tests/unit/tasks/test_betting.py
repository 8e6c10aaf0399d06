"""The bound by betting covers the mean whatever the differences look like, and keeps a width where there are none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.tasks.betting import mean_upper_bound

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]
SETS = np.array([0.0] * 7 + [1 / 3, -1 / 3, 0.5, -0.5])

# Differences of scores, and their mean.
DIFFERENCES: dict[str, tuple[Draw, float]] = {
    "0.3 % lose everything": (lambda random, count: (random.random(count) < 0.003).astype(np.float64), 0.003),
    "all lose a little": (lambda random, count: random.uniform(0, 0.01, count), 0.005),
    "ties": (lambda random, count: random.choice(SETS, count), 0.0),
    "most gain a little, few lose much": (
        lambda random, count: np.where(random.random(count) < 0.02, 0.9, -0.01),
        0.02 * 0.9 - 0.98 * 0.01,
    ),
}


def coverage(kind: str, examples: int, repetitions: int) -> float:
    draw, mean = DIFFERENCES[kind]
    random = np.random.default_rng(examples)
    bounds = [mean_upper_bound(draw(random, examples), highest=1.0, confidence=0.95) for _ in range(repetitions)]
    return float(np.mean(np.array(bounds) >= mean))


@pytest.mark.parametrize("kind", list(DIFFERENCES))
def test_coverage_with_few_differences(kind: str) -> None:
    # With 200 sets, an interval of exactly 95 % shows less than 91 % once in a hundred times; this one is wider.
    assert coverage(kind, 30, 200) >= 0.945


@pytest.mark.slow
@pytest.mark.parametrize("examples", [30, 300, 3000])
@pytest.mark.parametrize("kind", list(DIFFERENCES))
def test_coverage(kind: str, examples: int) -> None:
    assert coverage(kind, examples, 4000) >= 0.945


@pytest.mark.parametrize("examples", [30, 300, 3000, 10_000])
def test_the_width_where_nothing_differs(examples: int) -> None:
    # A t interval and a percentile bootstrap have width 0 there. No bound can be below 3.0 / n: if three of n times
    # as many examples lost everything, one in twenty sets would show none of them.
    bound = mean_upper_bound(np.zeros(examples), highest=1.0, confidence=0.95)
    assert 3.0 / examples * 0.98 < bound < 3.4 / examples


@pytest.mark.parametrize(
    ("kind", "factor"), [("ties", 1.45), ("most gain a little, few lose much", 2.0), ("0.3 % lose everything", 2.6)]
)
def test_the_width_beside_that_of_a_t_interval(kind: str, factor: float) -> None:
    draw, _ = DIFFERENCES[kind]
    values = draw(np.random.default_rng(1), 3000)
    t_width = 1.645 * values.std(ddof=1) / np.sqrt(len(values))
    assert mean_upper_bound(values, highest=1.0, confidence=0.95) - values.mean() < factor * t_width


def test_a_higher_confidence_and_fewer_examples_widen_it() -> None:
    values = DIFFERENCES["ties"][0](np.random.default_rng(2), 3000)
    bounds = [mean_upper_bound(values, highest=1.0, confidence=1 - rate) for rate in (0.05, 0.05 / 20, 0.05 / 500)]
    assert bounds == sorted(bounds)
    assert bounds[0] < mean_upper_bound(values[:300], highest=1.0, confidence=0.95)


def test_it_is_the_same_for_the_same_values_and_near_for_another_order() -> None:
    values = DIFFERENCES["ties"][0](np.random.default_rng(3), 1000)
    bound = mean_upper_bound(values, highest=1.0, confidence=0.95)
    assert bound == mean_upper_bound(values.copy(), highest=1.0, confidence=0.95)
    width, sorted_width = bound - values.mean(), mean_upper_bound(np.sort(values), highest=1.0, confidence=0.95)
    assert sorted_width - values.mean() == pytest.approx(width, rel=0.5)


def test_values_at_the_highest_one() -> None:
    assert mean_upper_bound(np.ones(50), highest=1.0, confidence=0.95) == 1.0
    assert mean_upper_bound(np.array([0.5]), highest=1.0, confidence=0.95) == 1.0
