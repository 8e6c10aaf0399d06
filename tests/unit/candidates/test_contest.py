"""What the page gets to say who would win: nothing that a budget changes, and no more comparisons than it needs."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.candidates.choose import choose
from pipeline.candidates.contest import Contestant, contestants
from pipeline.candidates.report import CandidateReport
from pipeline.recipe.limits import Budget
from tests.builders import LIMITS, candidate, quality


def gather(reports: Sequence[CandidateReport], limits: Budget = LIMITS) -> dict[str, Contestant]:
    verdicts = choose(reports, goal="latency", limits=limits).verdicts
    found = contestants(reports, verdicts=verdicts, goal="latency", limits=limits)
    assert [contestant.name for contestant in found] == [report.name for report in reports]
    return {contestant.name: contestant for contestant in found}


def test_another_budget_changes_none_of_it() -> None:
    reports = [candidate(), candidate("slim", ms=0.5, judged=quality(lost=60)), candidate("thin", ms=0.4)]
    other = LIMITS.model_copy(update={"max_accuracy_drop": 0.0001})
    assert gather(reports) == gather(reports, other)


def test_bounds_costs_and_ranks_are_those_of_the_choice() -> None:
    reports = [
        candidate(form="torchscript"),
        candidate(ms=0.9),
        candidate("slim", ms=0.5, judged=quality(lost=60)),
        candidate("wild", ms=0.1, judged=quality(confident=900)),
    ]
    found = gather(reports)
    torchscript, whole, slim, wild = (found[report.name] for report in reports)
    assert (torchscript.bound, whole.bound) == (None, None)
    assert slim.bound is not None
    assert slim.bound > 0.006
    assert [each.cost for each in (torchscript, whole, slim)] == [1, 0.9, 0.5]
    assert whole.rank < torchscript.rank < slim.rank == wild.rank
    assert (slim.calm, wild.calm) == (True, False)


def test_only_who_may_be_the_cheapest_is_compared_with_others() -> None:
    reports = [
        candidate(),
        candidate("slim", ms=0.5, judged=quality(lost=10)),
        candidate("slow", ms=0.7, judged=quality(lost=20)),
        candidate("near", ms=0.495, judged=quality(lost=30)),
    ]
    found = gather(reports)
    assert found["float.onnx.fp32"].no_gain_over != ()
    assert found["slim.onnx.fp32"].no_gain_over == ("slim.onnx.fp32", "near.onnx.fp32")
    assert found["slow.onnx.fp32"].no_gain_over == ()  # slim is in wherever it is
    assert found["near.onnx.fp32"].no_gain_over == ("slim.onnx.fp32", "near.onnx.fp32")
