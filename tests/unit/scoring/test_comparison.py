"""The verdict in a sentence: inside, outside, or not provable with so many examples."""

from __future__ import annotations

import pytest

from pipeline.scoring.comparison import _percent, _verdict
from pipeline.scoring.shares import share_bound


@pytest.mark.parametrize(
    ("differing", "examples", "limit", "verdict", "sentence"),
    [
        (
            3,
            10_000,
            0.01,
            "inside",
            (
                "Yes, it may replace the old one: 3 of 10,000 decisions differ, with 95 % confidence at most 0.078 % "
                "do, inside the limit of 1 %."
            ),
        ),
        (
            300,
            10_000,
            0.01,
            "outside",
            "No, it may not replace the old one: 300 of 10,000 decisions differ, more than the limit of 1 %.",
        ),
        (
            0,
            100,
            0.01,
            "not provable",
            (
                "Not shown: 0 of 100 decisions differ, with 95 % confidence at most 3 % do, and the limit is 1 %; at "
                "least 299 examples are needed."
            ),
        ),
        (
            9,
            1000,
            0.01,
            "not provable",
            (
                "Not shown: 9 of 1,000 decisions differ, with 95 % confidence at most 1.6 % do, and the limit is 1 %; "
                "more examples may show it."
            ),
        ),
        (
            1,
            10,
            None,
            "no limit",
            "1 of 10 decisions differ, with 95 % confidence at most 40 % do; no limit was given (--max-differing).",
        ),
    ],
)
def test_verdicts(differing: int, examples: int, limit: float | None, verdict: str, sentence: str) -> None:
    bound = share_bound(differing, examples, confidence=0.95)
    assert _verdict(differing, examples, bound, limit) == (verdict, sentence)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.01, "1 %"), (0.0101, "1.1 %"), (0.00314, "0.32 %"), (0.123, "13 %")],
)
def test_a_bound_never_looks_smaller_than_it_is(share: float, text: str) -> None:
    assert _percent(share) == text
