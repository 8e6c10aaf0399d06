"""The one comparison: what passes, what never does."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.compare import compare, fitted, limits_of, usual_spread
from pipeline._handlers.tolerance import FLOAT32, Tolerance

LOGITS = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]], dtype=np.float32)
TOLERANCE = Tolerance(absolute=0.25, relative=0.125)
TIGHT = Tolerance(spread=1e-3)


def test_equal_arrays_pass() -> None:
    comparison = compare(LOGITS, LOGITS.copy(), Tolerance(absolute=0, relative=0))
    assert comparison.passed
    assert comparison.reason == ""
    assert (comparison.max_absolute, comparison.max_relative, comparison.argmax_agreement) == (0, 0, 1)
    assert comparison.cosine == pytest.approx(1)


@pytest.mark.parametrize(("difference", "passes"), [(0.5, True), (-0.5, True), (0.53125, False)])
def test_limit_is_absolute_plus_relative_of_the_expected_value(difference: float, passes: bool) -> None:
    found = LOGITS.copy()
    found[0, 1] += np.float32(difference)  # the limit for an expected -2 is 0.25 + 0.125 * 2 = 0.5
    comparison = compare(LOGITS, found, TOLERANCE)
    assert comparison.passed is passes
    assert comparison.position == (0, 1)
    assert (comparison.expected, comparison.limit) == (-2.0, 0.5)


def test_failure_names_position_values_and_limit() -> None:
    found = LOGITS + np.array([[0, 0, 0], [0, 0, 1]], np.float32)
    reason = compare(LOGITS, found, TOLERANCE).reason
    assert reason == "at [1, 2]: expected -1, found 0, difference 1, limit 0.375"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (LOGITS[:1], "shape: expected [2, 3], found [1, 3]"),
        (LOGITS.ravel(), "shape: expected [2, 3], found [6]"),
        (LOGITS.astype(np.float64), "dtype: expected float32, found float64"),
        (np.where(LOGITS == 3, np.nan, LOGITS).astype(np.float32), "found value at [1, 1] is nan"),
        (np.where(LOGITS == 3, np.inf, LOGITS).astype(np.float32), "found value at [1, 1] is inf"),
    ],
)
def test_what_cannot_be_compared_never_passes(found: NDArray[np.float32], reason: str) -> None:
    comparison = compare(LOGITS, found, Tolerance(absolute=1e9, relative=1e9))
    assert not comparison.passed
    assert comparison.reason == reason


def test_not_a_number_on_both_sides_does_not_pass() -> None:
    values = np.full((1, 2), np.nan, dtype=np.float32)
    assert compare(values, values, FLOAT32).reason == "expected value at [0, 0] is nan"


def test_nothing_to_compare_does_not_pass() -> None:
    empty = np.zeros((0, 3), dtype=np.float32)
    assert compare(empty, empty, FLOAT32).reason == "nothing to compare: shape [0, 3]"


def test_zero_expected_and_not_found_is_infinitely_far() -> None:
    comparison = compare(np.zeros((1, 2), np.float32), np.array([[0, 1e-6]], np.float32), TOLERANCE)
    assert comparison.passed
    assert comparison.max_relative == math.inf
    assert comparison.cosine == 0
    assert json.loads(json.dumps(comparison.to_json(), allow_nan=False))["max_relative"] is None


def test_disagreement_of_decisions_is_counted_by_row() -> None:
    found = np.array([[1.0, -2.0, 0.5], [3.5, 3.0, -1.0]], np.float32)
    assert compare(LOGITS, found, FLOAT32).argmax_agreement == 0.5


def test_an_output_step_is_that_of_the_values_own_call() -> None:
    expected = np.array([[255.0, 0.0], [2.55, 0.0], [2.55, 1.0]], dtype=np.float32)
    found = expected + np.array([[0, 0], [0.5, 0], [0, 0]], dtype=np.float32)
    steps = Tolerance(steps=1)
    assert compare(expected, found, steps).passed, "one call: a step is 1"
    assert compare(expected, found, steps, batch_size=2).passed, "the first two share a call"
    alone = compare(expected, found, steps, batch_size=1)
    assert (alone.passed, alone.position) == (False, (1, 0))
    assert alone.limit == pytest.approx(0.01)


def test_a_limit_follows_the_spread_of_the_values_own_call_whatever_their_size() -> None:
    expected = np.array([[1000.0, 1000.5, 1001.0], [0.0, 5e-9, 1e-8], [1e9, -1e9, 0.0]])
    tolerance = Tolerance(spread=0.125)
    assert limits_of(expected, tolerance, batch_size=1)[:, 0] == pytest.approx([0.125, 1.25e-9, 2.5e8])
    assert limits_of(expected, tolerance, batch_size=2)[:, 0] == pytest.approx([0.125, 0.125, 2.5e8])
    assert limits_of(expected, tolerance)[0, 0] == 2.5e8


def test_two_classes_that_nearly_tie_do_not_make_the_limit_of_their_call_small() -> None:
    answers = np.array([[0.5, 0.5001], [-3.0, 3.0], [4.0, -4.0], [2.0, -5.0]])
    assert usual_spread(answers) == 6.5
    assert limits_of(answers, replace(TIGHT, usual_spread=6.5), batch_size=1)[0, 0] == pytest.approx(6.5e-3)
    assert limits_of(answers, TIGHT, batch_size=1)[0, 0] == pytest.approx(1e-7)


def test_one_value_a_row_spreads_over_the_rows() -> None:
    assert usual_spread(np.array([[1.0], [4.0], [2.0]])) == 3.0


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e9])
def test_float32_is_held_to_its_own_rounding_and_to_a_share_of_the_spread(size: float) -> None:
    answers = (size * np.array([[1.0, -1.0, 0.5], [0.25, 3.0, -1.0]])).astype(np.float32)
    exact = fitted(FLOAT32, answers, noise=0.0)
    rounded = fitted(FLOAT32, answers, noise=size * 1e-4)
    unknown = fitted(FLOAT32, answers, noise=None)
    far = (answers + size * np.array([[0, 0, 1e-3], [0, 0, 0]])).astype(np.float32)
    near = (answers + size * np.array([[0, 0, 2e-5], [0, 0, 0]])).astype(np.float32)
    assert [compare(answers, near, one).passed for one in (exact, rounded, unknown)] == [True, True, True]
    assert [compare(answers, far, one).passed for one in (exact, rounded, unknown)] == [False, True, False]


def test_answers_that_are_all_alike_may_differ_in_their_last_bits() -> None:
    answers = np.full((4, 3), 0.3, np.float32)
    tolerance = fitted(FLOAT32, answers, noise=0.0)
    assert compare(answers, np.nextafter(answers, np.float32(1)), tolerance).passed
    assert not compare(answers, answers + np.float32(1e-5), tolerance).passed


@pytest.mark.parametrize(("lead", "passes"), [(0.9, True), (1.1, False)])
def test_a_decision_may_turn_only_within_the_limit(lead: float, passes: bool) -> None:
    expected = np.array([[0.0, 0.0, 9.0], [1.0 + lead, 1.0, 0.0]])
    found = expected + np.array([[0.0, 0.0, 0.0], [-0.75, 0.75, 0.0]])
    assert compare(expected, found, Tolerance(absolute=1, relative=0)).passed
    comparison = compare(expected, found, Tolerance(absolute=1, relative=0, same_decision=True))
    assert comparison.passed is passes
    if not passes:
        assert comparison.reason == (
            "at [1]: expected 0 to be the largest, ahead of 1 by 1.1, found it behind; a lead above 1 must stay one"
        )
