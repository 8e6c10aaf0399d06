"""What a build's closing lines say."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.builder import BuildResult, Row
from pipeline.candidates.choose import Limits, judge
from pipeline.candidates.report import CandidateReport, EagerReport, EagerTiming
from pipeline.candidates.speed import speed_ups
from pipeline.console import SLIM_LEGEND, flips_note, print_result
from tests.unit.candidates.test_choose import candidate, quality, timing

FEW = (
    "The limit of confident flips, 0.10% of 539 validation examples, allows not a single one, so hardly any narrower\n"
    "network can be selected: give 1,000 validation examples or more, or a budget.max_confident_flips of at least "
    "0.0019."
)


def built(*reports: CandidateReport, searched: bool) -> BuildResult:
    limits = Limits(max_accuracy_drop=0.03, max_confident_flips=0.001)
    eager = EagerReport(timings=tuple(EagerTiming(**timing(size, 2.0).model_dump(), layout="NCHW") for size in (1, 32)))
    verdict = judge(reports[0].quality, limits, lossy=False, compared=1)
    rows = tuple(
        Row(
            report=report,
            verdict=verdict.text,
            drop_upper=verdict.drop_upper,
            confidence=verdict.confidence,
            smallest_provable_drop=verdict.smallest_provable_drop,
            speed=speed_ups(report, eager=eager, baseline=reports[0]),
            outcome="no benefit",
            selected=report is reports[0],
        )
        for report in reports
    )
    return BuildResult(
        recipe="digits",
        run_dir=Path("run"),
        candidates=rows,
        eager=eager,
        selected=reports[0].name,
        why="best latency",
        limits=limits,
        searched=searched,
        test=reports[0].quality,
        test_verdict=verdict,
        archive=Path("digits.mar"),
        archive_sha256="0" * 64,
        stages=(),
    )


def test_too_few_examples_for_one_confident_flip_are_told_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    few = quality(examples=539)
    print_result(built(candidate(judged=few), candidate("slim38.4", judged=few), searched=True))
    assert capsys.readouterr().out.count(FEW) == 1


@pytest.mark.parametrize(
    ("share", "examples", "said"),
    [
        (0.001, 539, FEW),
        (0.001, 1000, ""),  # one of them
        (0.0, 539, ""),  # none is what was asked for
    ],
)
def test_the_note_on_confident_flips(share: float, examples: int, said: str) -> None:
    assert flips_note(Limits(max_accuracy_drop=0.03, max_confident_flips=share), examples) == said


def test_names_of_searched_networks_are_explained_where_there_are_any(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(built(candidate(), candidate("slim38.4"), searched=True))
    assert capsys.readouterr().out.count(SLIM_LEGEND) == 1
    print_result(built(candidate(), candidate("slim50"), searched=False))  # a name that a recipe chose
    print_result(built(candidate(), candidate("pruned30"), searched=True))
    assert "slimNN" not in capsys.readouterr().out
