"""Why a candidate was not chosen, in words."""

from __future__ import annotations

import re

import pytest

from pipeline.candidates.choose import choose
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.why_not import why_not
from pipeline.recipe.candidates import Goal
from tests.builders import LIMITS, candidate, quality


def reason(name: str, *reports: CandidateReport, goal: Goal = "latency", named: str | None = None) -> str:
    choice = choose(reports, goal=goal, limits=LIMITS, named=named)
    return why_not(reports, choice, goal=goal, limits=LIMITS)[name]


def test_the_winner_says_why_it_is() -> None:
    slim = candidate("slim", ms=0.5)
    assert reason(slim.name, candidate(), slim) == "best latency of the 2 candidates inside their limits"


def test_a_slower_one_says_how_much_longer_it_takes() -> None:
    text = reason("float.onnx.fp32", candidate(), candidate("slim", ms=0.5))
    assert text == "inside its limits, but it takes 2.00 times as long (2.00 to 2.00) as slim.onnx.fp32"


def test_an_interval_shows_on_which_side_of_1_it_ends() -> None:
    fast, slow = candidate("slim", ms=0.5), candidate("thin", ms=0.55)
    ratios = (1.004,) * 4 + (1.1,) * 5
    rounds = tuple(ms * ratio for ms, ratio in zip(fast.timing(1).rounds_ms, ratios, strict=True))
    alone, *others = slow.timings
    slow = slow.model_copy(update={"timings": (alone.model_copy(update={"rounds_ms": rounds}), *others)})
    text = reason("thin.onnx.fp32", fast, slow)
    assert "(1.004 to 1.10)" in text, text


def test_a_larger_one_says_how_much_larger_it_is() -> None:
    text = reason("float.onnx.fp32", candidate(size=5000), candidate("slim", size=1000), goal="size")
    assert text == "inside its limits, but its file is 5.00 times as large as that of slim.onnx.fp32"


def test_throughput_is_that_of_the_largest_batch() -> None:
    text = reason("float.onnx.fp32", candidate(batch_ms=30), candidate("slim", batch_ms=10), goal="throughput")
    assert "takes 3.00 times as long" in text


def test_a_gain_that_is_not_certain_loses_to_what_is_simpler() -> None:
    text = reason("slim.onnx.fp32", candidate(), candidate("slim", ms=0.98))
    assert text == "no certain gain of 3% in latency over float.onnx.fp32, which is simpler"


def test_of_equally_simple_ones_the_measured_one_wins() -> None:
    text = reason("slim.onnx.fp32", candidate(ms=9), candidate("slim", ms=1.01), candidate("thin", ms=1))
    assert text == "as simple as thin.onnx.fp32, and not measured to be better in latency"


def test_another_one_was_named() -> None:
    text = reason("slim.onnx.fp32", candidate(), candidate("slim", ms=0.1), named="float.onnx.fp32")
    assert text == "the recipe selects float.onnx.fp32 by name"


@pytest.mark.parametrize(
    ("lost", "gained", "confident", "expected"),
    [
        (
            200,
            0,
            0,
            r"lost 2.00 points, at most 2.2\d \(95.00 % sure\); 1.00 allowed$",
        ),
        (90, 0, 0, r"lost 0.90 points, at most 1.0\d .*; 1.00 allowed; more examples might prove it$"),
        (20, 20, 20, r"turned 0.20 % of all answers where float was sure; 0.10 % allowed$"),
        (200, 0, 20, r"lost 2.00 points, .* allowed; and turned 0.20 % of all answers"),
    ],
)
def test_a_refusal_says_what_was_found_and_what_is_allowed(
    lost: int, gained: int, confident: int, expected: str
) -> None:
    refused = candidate("slim", ms=0.1, judged=quality(lost=lost, gained=gained, confident=confident))
    text = reason("slim.onnx.fp32", candidate(), refused)
    assert re.match(expected, text), text
