"""Which candidate wins, and which never does."""

from __future__ import annotations

import statistics

import pytest

from pipeline.candidates.choose import adjusted_confidence, choose, judge
from pipeline.candidates.report import (
    TimingFigures,
)
from pipeline.errors import ProofError, UsageError
from pipeline.recipe.limits import Budget
from pipeline.tasks.intervals import drop_bounds
from pipeline.tasks.quality import QualityReport
from tests.builders import LIMITS, candidate, quality

REFUSED = (
    r"^select\.candidate slim\.onnx\.fp32: over budget: expected a drop provably under 1\.00 points and confident "
    r"flips on at most 0\.100%, found \+2\.00 points with a bound of 2\.2\d \(95\.0% confidence\) and 0\.000%, on "
    r"10000 examples \(smallest provable 0\.2\d points\); raise the limits in \[budget\] or name another candidate$"
)


def test_fastest_inside_the_budget_wins() -> None:
    chosen = choose([candidate(), candidate("slim", ms=0.5)], goal="latency", limits=LIMITS)
    assert chosen.selected == "slim.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "within budget"


def test_over_budget_is_never_selected() -> None:
    reports = [candidate(), candidate("slim", ms=0.1, judged=quality(lost=200))]
    chosen = choose(reports, goal="latency", limits=LIMITS)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "over budget"


def test_too_few_examples_are_said_to_prove_nothing() -> None:
    reports = [candidate(), candidate("slim", ms=0.1, judged=quality(lost=2, gained=2, examples=100))]
    chosen = choose(reports, goal="latency", limits=LIMITS)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.verdicts["slim.onnx.fp32"].text == "not provable with 100 examples"
    # 1.645 * sqrt(4 / 100^2) = 0.033, and a little more of the score interval
    assert chosen.verdicts["slim.onnx.fp32"].smallest_provable_drop == pytest.approx(0.042, abs=1e-3)


def test_a_gain_under_three_percent_loses_to_the_simpler_candidate() -> None:
    chosen = choose([candidate(), candidate("slim", ms=0.98)], goal="latency", limits=LIMITS)
    assert chosen.selected == "float.onnx.fp32"
    assert chosen.why == "slim.onnx.fp32 shows no certain gain of 3% in latency over this simpler candidate"


def test_torchscript_must_earn_its_place_too() -> None:
    equal = choose([candidate(form="torchscript"), candidate()], goal="latency", limits=LIMITS)
    assert equal.selected == "float.onnx.fp32"
    faster = choose([candidate(form="torchscript", ms=0.5), candidate()], goal="latency", limits=LIMITS)
    assert faster.selected == "float.torchscript.fp32"


@pytest.mark.parametrize(
    ("goal", "winner"),
    [("latency", "quick.onnx.fp32"), ("throughput", "wide.onnx.fp32"), ("size", "small.onnx.fp32")],
)
def test_the_goal_decides(goal: str, winner: str) -> None:
    reports = [
        candidate(),
        candidate("quick", ms=0.5),
        candidate("wide", batch_ms=10),
        candidate("small", size=100),
    ]
    assert choose(reports, goal=goal, limits=LIMITS).selected == winner  # type: ignore[arg-type]


def test_named_candidate_is_taken() -> None:
    chosen = choose([candidate(), candidate("slow", ms=9)], goal="latency", limits=LIMITS, named="slow.onnx.fp32")
    assert (chosen.selected, chosen.why) == ("slow.onnx.fp32", "named by the recipe")


def test_named_candidate_over_budget_fails_the_build() -> None:
    reports = [candidate(), candidate("slim", judged=quality(lost=200))]
    with pytest.raises(ProofError, match=REFUSED):
        choose(reports, goal="latency", limits=LIMITS, named="slim.onnx.fp32")


def test_unknown_name_is_refused() -> None:
    with pytest.raises(UsageError, match=r"expected one of float.onnx.fp32, found fast"):
        choose([candidate()], goal="latency", limits=LIMITS, named="fast")


def test_the_bound_is_adjusted_for_how_many_lossy_candidates_were_compared() -> None:
    # +0.38 points; the spread is sqrt(82) / 10,000 = 0.09: bounds of 0.53 alone, and of 0.61 among eight
    judged = quality(lost=60, gained=22)
    limits = Budget(max_accuracy_drop=0.0056, max_confident_flips=0.001)
    one = choose([candidate(), candidate("slim", judged=judged)], goal="latency", limits=limits)
    others = [candidate(f"slim{number}", judged=quality()) for number in range(7)]
    many = choose([candidate(), candidate("slim", judged=judged), *others], goal="latency", limits=limits)
    alone, among = one.verdicts["slim.onnx.fp32"], many.verdicts["slim.onnx.fp32"]
    assert (alone.confidence, among.confidence) == (0.95, 1 - 0.05 / 8)
    assert alone.adjusted_drop_upper == drop_bounds(lost=60, gained=22, examples=10_000)[1]
    assert among.adjusted_drop_upper == drop_bounds(lost=60, gained=22, examples=10_000, confidence=1 - 0.05 / 8)[1]
    assert (alone.text, among.text) == ("within budget", "not provable with 10000 examples")
    assert among.smallest_provable_drop > alone.smallest_provable_drop


def test_lossless_candidates_are_not_compared_for_their_drop() -> None:
    reports = [candidate(), candidate(form="torchscript"), candidate("slim")]
    assert choose(reports, goal="latency", limits=LIMITS).verdicts["slim.onnx.fp32"].confidence == 0.95
    assert adjusted_confidence(0) == adjusted_confidence(1) == 0.95


def test_too_many_confident_flips_are_never_selected() -> None:
    for confident, text in ((10, "within budget"), (11, "too many confident flips")):
        reports = [candidate(), candidate("slim", ms=0.1, judged=quality(lost=6, gained=6, confident=confident))]
        chosen = choose(reports, goal="latency", limits=LIMITS)
        assert chosen.verdicts["slim.onnx.fp32"].text == text
        assert (chosen.selected == "slim.onnx.fp32") is (text == "within budget")
    reports = [candidate(), candidate("slim", judged=quality(lost=6, gained=6, confident=11))]
    with pytest.raises(ProofError, match=r"slim\.onnx\.fp32: too many confident flips: .* found .* and 0.110%"):
        choose(reports, goal="latency", limits=LIMITS, named="slim.onnx.fp32")


@pytest.mark.parametrize(
    ("judged", "text"),
    [
        (quality(lost=200, confident=200), "over budget"),
        (quality(lost=2, gained=2, confident=3, examples=100), "too many confident flips"),
        (quality(lost=2, gained=2, examples=100), "not provable with 100 examples"),
        (quality(lost=9, gained=2, examples=100), "over budget"),
    ],
)
def test_the_firmest_reason_is_named(judged: QualityReport, text: str) -> None:
    assert judge(judged, LIMITS, lossy=True, compared=1).text == text
    assert judge(judged, LIMITS, lossy=False, compared=1).text == "lossless"


def test_nothing_to_choose_from_fails() -> None:
    with pytest.raises(ProofError, match="candidates: expected at least one to choose from, found an empty list"):
        choose([], goal="latency", limits=LIMITS)
    with pytest.raises(ProofError, match=r"expected one inside its limits, found none of slim\.onnx\.fp32"):
        choose([candidate("slim", judged=quality(lost=300))], goal="latency", limits=LIMITS)


def test_rounds_are_compared_one_by_one() -> None:
    # The machine was four times as slow in most rounds, but the plain median of the second is the lower one.
    busy = (4.0, 4.0, 4.0, 4.0, 4.0, 1.0, 1.0, 1.0, 1.0)
    slim = tuple(0.8 * one for one in busy)
    lucky = (*(0.99 * one for one in busy[:4]), 3.0, *(0.99 * one for one in busy[5:]))
    timed = [
        candidate(name).model_copy(
            update={"timings": (TimingFigures(batch_size=1, median_ms=statistics.median(rounds), rounds_ms=rounds),)}
        )
        for name, rounds in (("float", busy), ("lucky", lucky), ("slim", slim))
    ]
    assert timed[1].timing(1).median_ms < timed[2].timing(1).median_ms
    assert choose(timed, goal="latency", limits=LIMITS).selected == "slim.onnx.fp32"
