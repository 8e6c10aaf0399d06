"""A gain may be claimed only where the measured rounds prove it."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.measure.gain import Ratio, estimate, speed_up, times


def rounds(mean: float, noise: float, seed: int, count: int = 9) -> list[float]:
    return [float(value) for value in mean * (1 + noise * np.random.default_rng(seed).standard_normal(count))]


def test_a_file_timed_against_itself_shows_no_gain() -> None:
    claimed = sum(speed_up(rounds(1e-3, 0.02, seed), rounds(1e-3, 0.02, seed + 10_000)).is_gain for seed in range(200))
    assert claimed <= 10


def test_twice_as_fast_is_a_gain() -> None:
    ratio = speed_up(rounds(2e-3, 0.02, 1), rounds(1e-3, 0.02, 2))
    assert ratio.is_gain
    assert ratio.low < ratio.value < ratio.high
    assert ratio.value == pytest.approx(2, rel=0.05)


def test_two_percent_is_not_worth_claiming_however_certain() -> None:
    ratio = speed_up([1.02] * 9, [1.0] * 9)
    assert ratio.low > 1
    assert not ratio.is_gain


def test_a_large_but_uncertain_gain_is_not_claimed() -> None:
    assert not speed_up([0.5, 0.6, 1.5, 1.6, 1.7], [1.0] * 5).is_gain


def test_what_slows_a_whole_round_cancels() -> None:
    load = np.asarray([1, 5, 1, 3, 1, 2, 1])
    ratio = speed_up(list(2.0 * load), list(1.0 * load))
    assert (ratio.low, ratio.value, ratio.high) == (2, 2, 2)


@pytest.mark.parametrize(
    ("ratio", "noise", "claim"),
    [
        ((2.0, 1.9, 2.1), None, "faster"),
        ((2.0, 1.9, 2.1), (1.0, 0.99, 1.02), "faster"),
        ((0.5, 0.45, 0.55), (1.0, 0.99, 1.02), "slower"),
        ((1.02, 1.01, 1.03), None, "none"),
        ((1.2, 0.9, 1.5), None, "none"),
        ((0.98, 0.97, 0.99), None, "none"),
        # The file's own copy was as much faster or slower, so this host varies by that much.
        ((1.06, 1.04, 1.08), (1.05, 1.02, 1.07), "none"),
        ((1.06, 1.04, 1.08), (0.95, 0.93, 0.98), "none"),
        ((0.94, 0.92, 0.96), (1.05, 1.02, 1.09), "none"),
        ((2.0, 1.9, 2.1), (1.05, 1.02, 1.07), "faster"),
    ],
)
def test_what_may_be_claimed(
    ratio: tuple[float, float, float], noise: tuple[float, float, float] | None, claim: str
) -> None:
    def ratio_of(values: tuple[float, float, float]) -> Ratio:
        return Ratio(value=values[0], low=values[1], high=values[2])

    assert ratio_of(ratio).claim(ratio_of(noise) if noise else None) == claim


def test_a_ratio_turned_round_is_that_of_the_other() -> None:
    slow, fast = rounds(2e-3, 0.02, 1), rounds(1e-3, 0.02, 2)
    forth, back = speed_up(slow, fast), speed_up(fast, slow)
    assert (forth.claim(), back.claim()) == ("faster", "slower")
    assert forth.inverse.value == pytest.approx(back.value)


def test_a_median_has_an_interval_over_rounds() -> None:
    median = estimate([1.0, 1.0, 1.0, 9.0, 1.0, 1.0, 1.0])
    assert (median.low, median.value, median.high) == (1, 1, 1)
    median = estimate(rounds(1e-3, 0.05, 3, count=50)).scaled(1e3)
    assert median.low < median.value < median.high
    assert median.value == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("baseline", "candidate"), [([], []), ([1.0], [1.0, 2.0])])
def test_unpaired_rounds_are_refused(baseline: list[float], candidate: list[float]) -> None:
    with pytest.raises(ValueError, match="expected paired rounds"):
        speed_up(baseline, candidate)


@pytest.mark.parametrize(("ratio", "text"), [(0.364, "0.36"), (9.994, "9.99"), (9.996, "10.0"), (10.29, "10.3")])
def test_a_ratio_of_ten_or_more_has_one_decimal(ratio: float, text: str) -> None:
    assert times(ratio) == text
