"""Exact bounds of shares, held against scipy's own and against the promise that they make."""

from __future__ import annotations

import pytest
from scipy.stats import binom, binomtest

from pipeline.scoring.shares import examples_needed, share_bound, share_interval


@pytest.mark.parametrize(("count", "examples"), [(0, 10), (1, 10), (14, 1000), (10, 10), (9999, 10_000)])
def test_the_interval_is_scipys(count: int, examples: int) -> None:
    expected = binomtest(count, examples).proportion_ci(confidence_level=0.95, method="exact")
    assert share_interval(count, examples, confidence=0.95) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("examples", "share"), [(30, 0.003), (300, 0.01), (3000, 0.001), (100, 0.5)])
def test_the_bound_covers_the_share_as_often_as_it_says(examples: int, share: float) -> None:
    counts = range(examples + 1)
    covered = [share <= share_bound(count, examples, confidence=0.95) for count in counts]
    assert sum(binom.pmf(count, examples, share) for count in counts if covered[count]) >= 0.95


@pytest.mark.parametrize("limit", [0.3, 0.01, 0.001])
def test_no_fewer_examples_can_show_a_limit(limit: float) -> None:
    needed = examples_needed(limit, confidence=0.95)
    assert share_bound(0, needed, confidence=0.95) <= limit
    assert share_bound(0, needed - 1, confidence=0.95) > limit
