"""What is said of each candidate."""

from __future__ import annotations

import pytest

from pipeline.candidates.choose import judge
from pipeline.candidates.outcome import outcome
from pipeline.candidates.report import CandidateReport, PassFigures
from pipeline.candidates.speed import SpeedUp
from pipeline.measure.gain import Ratio
from pipeline.precision import precision_of
from pipeline.recipe.candidates import Goal
from tests.builders import LIMITS, candidate, quality

FASTER, SAME = Ratio(value=2.5, low=2.4, high=2.6), Ratio(value=0.93, low=0.9, high=1.1)


def said(report: CandidateReport, *, over_float: Ratio, goal: Goal = "latency", text: str = "within budget") -> str:
    verdict = judge(report.quality, LIMITS, lossy=True, compared=1).model_copy(
        update={"text": text, "allowed": text == "within budget", "adjusted_drop_upper": 0.0167}
    )
    speed = tuple(SpeedUp(batch_size=size, over_eager=FASTER, over_float=over_float) for size in (1, 32))
    return outcome(report, verdict=verdict, limits=LIMITS, speed=speed, float_size=3000, goal=goal)


def made_by(kind: str) -> CandidateReport:
    figures = PassFigures(kind=kind, detail="", sparsity=0.0, weight_share=1.0, compute_share=1.0)
    return candidate("slim", precision=precision_of([kind])).model_copy(update={"passes": (figures,)})


def test_a_gain_is_told_in_what_is_searched_for() -> None:
    slim = candidate("slim")
    assert said(slim, over_float=FASTER) == "2.50x float at batch 1"
    assert said(slim, over_float=FASTER, goal="throughput") == "2.50x float at batch 32"
    assert said(slim, over_float=SAME, goal="size") == "3.00x smaller than float"


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("static-int8", "quantizing and dequantizing cost what"),
        ("dynamic-int8", "scales are found anew in each call"),
        ("magnitude-pruning", "zeros are stored and multiplied"),
    ],
)
def test_no_gain_comes_with_what_is_known_of_the_pass(kind: str, cause: str) -> None:
    assert said(made_by(kind), over_float=SAME).startswith(f"0.93x float at batch 1, no benefit: {cause}")


def test_a_miss_of_the_budget_is_told_with_both_limits() -> None:
    report = candidate("slim", judged=quality(lost=160, gained=40, confident=22))
    assert said(report, over_float=FASTER, text="over budget") == (
        "2.50x float at batch 1, over budget: drop +1.20 points, bound +1.67 of 1.00 allowed; confident flips 0.22% of "
        "0.10% allowed"
    )
