"""What may be said of one contender against another."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.standing import Accuracy, paired_accuracy, standing
from pipeline.measure.gain import Claim


def answers(*, wrong: range) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    right = np.ones(1000, dtype=np.bool_)
    right[wrong.start : wrong.stop] = False
    return right


def test_the_difference_is_ours_minus_theirs_on_the_same_examples() -> None:
    accuracy = paired_accuracy(answers(wrong=range(10)), answers(wrong=range(5, 65)))

    assert accuracy.value == pytest.approx(0.05)
    assert accuracy.low < accuracy.value < accuracy.high
    assert accuracy.claim == "more accurate"
    assert paired_accuracy(answers(wrong=range(5, 65)), answers(wrong=range(10))).claim == "less accurate"


def test_the_same_answers_are_as_accurate_with_an_interval_that_does_not_collapse() -> None:
    same = answers(wrong=range(10))
    accuracy = paired_accuracy(same, same)

    assert accuracy.claim == "as accurate"
    assert accuracy.low < 0 == accuracy.value < accuracy.high


@pytest.mark.parametrize(
    ("speed", "accuracy", "expected"),
    [
        ("faster", "as accurate", "ahead"),
        ("faster", "more accurate", "ahead"),
        ("faster", "less accurate", "faster, but less accurate"),
        ("none", "more accurate", "as fast, more accurate"),
        ("none", "as accurate", "level"),
        ("none", "less accurate", "behind: as fast, less accurate"),
        ("slower", "more accurate", "slower, but more accurate"),
        ("slower", "as accurate", "behind"),
        ("slower", "less accurate", "behind"),
    ],
)
def test_ahead_is_faster_at_equal_or_better_accuracy(speed: Claim, accuracy: Accuracy, expected: str) -> None:
    assert standing(speed, accuracy) == expected


def test_nothing_else_is_called_ahead() -> None:
    speeds: tuple[Claim, ...] = ("faster", "slower", "none")
    accuracies: tuple[Accuracy, ...] = ("more accurate", "as accurate", "less accurate")

    ahead = [pair for pair in product(speeds, accuracies) if standing(*pair) == "ahead"]

    assert ahead == [("faster", "more accurate"), ("faster", "as accurate")]
