from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from functools import cache

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binom

from pipeline.tasks.intervals import drop_bounds, smallest_provable_drop

TWO_SIDED_95 = 0.975


@pytest.mark.parametrize(
    ("lost", "gained", "examples", "confidence", "lower", "upper"),
    [
        # Tango (1998), cross-over trial of two contact lens disinfections, 44 pairs: 90 % interval
        (1, 0, 44, 0.95, -0.037, 0.096),
        # Fagerland, Lydersen and Laake (2014), airway hyper-responsiveness, 21 pairs: Tango's 95 % interval
        (7, 1, 21, TWO_SIDED_95, 0.026, 0.517),
    ],
)
def test_published_intervals(
    lost: int, gained: int, examples: int, confidence: float, lower: float, upper: float
) -> None:
    bounds = drop_bounds(lost=lost, gained=gained, examples=examples, confidence=confidence)
    assert bounds == pytest.approx((lower, upper), abs=5e-4)


def score(lost: int, gained: int, examples: int, drop: float) -> float:
    """The score statistic, whose nuisance parameter comes from maximizing the likelihood instead of a formula."""

    def surprise(gain: float) -> float:
        probabilities = (gain + drop, gain, 1 - 2 * gain - drop)
        counts = (lost, gained, examples - lost - gained)
        return -sum(n * math.log(max(p, 1e-300)) for n, p in zip(counts, probabilities, strict=True) if n)

    lowest, highest = max(0.0, -drop), (1 - drop) / 2
    gain = minimize_scalar(surprise, bounds=(lowest, highest), method="bounded", options={"xatol": 1e-12}).x
    variance = examples * (2 * gain + drop - drop**2)
    return float((lost - gained - examples * drop) / math.sqrt(variance))


@pytest.mark.parametrize(
    ("lost", "gained", "examples"), [(5, 2, 40), (2, 5, 40), (30, 20, 500), (3, 3, 12), (0, 4, 30)]
)
def test_at_the_bounds_the_score_is_the_normal_quantile(lost: int, gained: int, examples: int) -> None:
    lower, upper = drop_bounds(lost=lost, gained=gained, examples=examples)
    assert score(lost, gained, examples, upper) == pytest.approx(-1.6449, abs=2e-3)
    assert score(lost, gained, examples, lower) == pytest.approx(1.6449, abs=2e-3)


def test_nothing_flipped_still_has_a_width() -> None:
    # quantile^2 / (n + quantile^2), where Wald's interval has width 0
    square = 1.6448536**2
    assert drop_bounds(lost=0, gained=0, examples=10_000)[1] == pytest.approx(square / (10_000 + square))
    assert drop_bounds(lost=0, gained=0, examples=1) == pytest.approx((-0.7301, 0.7301), abs=1e-4)


def test_everything_lost_or_gained() -> None:
    lower, upper = drop_bounds(lost=20, gained=0, examples=20)
    assert upper == 1.0
    assert lower == pytest.approx((20 - 1.6448536**2) / (20 + 1.6448536**2))
    assert drop_bounds(lost=0, gained=20, examples=20) == pytest.approx((-upper, -lower))


def test_losing_is_gaining_seen_from_the_other_side() -> None:
    for lost, gained in [(3, 1), (0, 5), (7, 7), (10, 0)]:
        lower, upper = drop_bounds(lost=lost, gained=gained, examples=60)
        mirrored = drop_bounds(lost=gained, gained=lost, examples=60)
        assert mirrored == pytest.approx((-upper, -lower))


def test_bounds_hold_the_drop_and_move_with_it() -> None:
    examples = 25
    for gained in range(examples + 1):
        uppers = []
        for lost in range(examples + 1 - gained):
            lower, upper = drop_bounds(lost=lost, gained=gained, examples=examples)
            assert -1 <= lower <= (lost - gained) / examples <= upper <= 1
            assert lower < upper
            uppers.append(upper)
        assert uppers == sorted(uppers), f"one more loss never lowers the bound ({gained} gained)"


def test_more_examples_and_less_confidence_are_narrower() -> None:
    wide = drop_bounds(lost=4, gained=2, examples=100)[1]
    assert drop_bounds(lost=40, gained=20, examples=1000)[1] < wide
    assert drop_bounds(lost=4, gained=2, examples=100, confidence=0.8)[1] < wide


def test_the_one_sided_bound_covers_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    examples, lost_share, gained_share = 200, 0.06, 0.03
    draws = random.multinomial(examples, [lost_share, gained_share, 1 - lost_share - gained_share], size=1500)
    counts: dict[tuple[int, int], int] = {}
    for lost, gained, _ in draws.tolist():
        counts[lost, gained] = counts.get((lost, gained), 0) + 1
    covered = sum(
        count
        for (lost, gained), count in counts.items()
        if drop_bounds(lost=lost, gained=gained, examples=examples)[1] >= lost_share - gained_share
    )
    assert 0.93 <= covered / 1500 <= 0.975


@cache
def interval(lost: int, gained: int, examples: int) -> tuple[float, float]:
    return drop_bounds(lost=lost, gained=gained, examples=examples, confidence=TWO_SIDED_95)


def coverage(examples: int, lost_share: float, gained_share: float) -> float:
    """The probability that the two-sided 95 % interval holds the true drop: a sum over all outcomes, not a simulation.

    Gains are binomial, and losses are binomial among the rest. Both ends of the interval move up with the losses, so
    the losses whose interval holds the truth are neighbours; only the two ends of that range are searched for.
    """
    drop = lost_share - gained_share
    first_gained, last_gained = (int(binom.ppf(tail, examples, gained_share)) for tail in (1e-9, 1 - 1e-9))
    covered = 0.0
    for gained in range(max(first_gained, 0), last_gained + 1):
        rest = examples - gained
        losses = range(rest + 1)
        first = bisect_left(losses, 1, key=lambda lost: int(interval(lost, gained, examples)[1] >= drop))
        beyond = bisect_left(losses, 1, key=lambda lost: int(interval(lost, gained, examples)[0] > drop))
        below, within = (float(binom.cdf(end - 1, rest, lost_share / (1 - gained_share))) for end in (first, beyond))
        covered += float(binom.pmf(gained, examples, gained_share)) * (within - below)
    return covered


EXAMPLES = (200, 500, 2000, 10_000)
DISCORDANT = (0.0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08)  # share of examples that flip between right and wrong
LOST = (0.5, 0.6, 0.75, 0.9, 1.0)  # share of those that are lost


@cache
def grid(examples: int) -> tuple[float, ...]:
    return tuple(
        coverage(examples, flipping * lost, flipping * (1 - lost))
        for flipping in DISCORDANT
        for lost in (LOST if flipping else LOST[:1])
    )


@pytest.mark.parametrize("examples", EXAMPLES)
def test_the_interval_covers_nowhere_less_than_92_percent(examples: int) -> None:
    shares = grid(examples)
    assert shares[0] == 1.0, "nothing flips: the interval always holds a drop of 0, and Wald's width would be 0"
    assert min(shares) >= 0.92


def test_the_interval_covers_95_percent_on_average() -> None:
    shares = [share for examples in EXAMPLES[1:] for share in grid(examples)]
    assert 0.94 <= np.mean(shares) <= 0.96


def test_where_hardly_anything_flips_the_interval_errs_on_the_safe_side() -> None:
    # With 200 examples, half of the grid expects two flips or fewer. No interval of whole counts can do better there
    # without covering less elsewhere; this one then covers more than it says.
    assert np.mean(grid(200)) == pytest.approx(0.975, abs=0.002)


def test_the_exact_sum_is_what_a_simulation_finds() -> None:
    random = np.random.default_rng(1)
    examples, lost, gained, draws = 500, 0.03, 0.01, 20_000
    counts = Counter(map(tuple, random.multinomial(examples, [lost, gained, 1 - lost - gained], size=draws).tolist()))
    covered = 0
    for (losses, gains, _), count in counts.items():
        lower, upper = interval(losses, gains, examples)
        covered += count * (lower <= lost - gained <= upper)
    # three standard errors of a share of 0.95 among 20,000
    assert covered / draws == pytest.approx(coverage(examples, lost, gained), abs=0.0046)


def test_smallest_provable_drop() -> None:
    # 4 % disagreement on 10,000 examples: half-width 1.645 * sqrt(0.04 / 10000) = 0.0033
    assert smallest_provable_drop(discordant=400, examples=10_000) == pytest.approx(0.0033, abs=1e-4)
    assert smallest_provable_drop(discordant=0, examples=10_000) == drop_bounds(lost=0, gained=0, examples=10_000)[1]
    assert smallest_provable_drop(discordant=3, examples=100) < smallest_provable_drop(discordant=4, examples=100)


@pytest.mark.parametrize(("lost", "gained", "examples"), [(0, 0, 0), (-1, 0, 5), (4, 2, 5)])
def test_impossible_counts(lost: int, gained: int, examples: int) -> None:
    with pytest.raises(ValueError, match="expected counts of at least 0 that fit into at least 1 example"):
        drop_bounds(lost=lost, gained=gained, examples=examples)
