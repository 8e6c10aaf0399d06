"""What a build ends with, made by hand."""

from __future__ import annotations

from pathlib import Path

from pipeline.candidates.choose import choose
from pipeline.candidates.report import CandidateReport, EagerReport, EagerTiming
from pipeline.candidates.speed import speed_ups
from pipeline.candidates.unproven import Unproven
from pipeline.commands.build_result import BuildResult, Row
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.tasks.table import task_named
from tests.builders import timing

LIMITS = Budget(max_accuracy_drop=0.01, max_confident_flips=0.001)


def result_of(
    *reports: CandidateReport, goal: Goal = "latency", named: str | None = None, unproven: tuple[Unproven, ...] = ()
) -> BuildResult:
    """What a build ends with that made these candidates: the winner is the one that `choose` picks."""
    choice = choose(reports, goal=goal, limits=LIMITS, named=named)
    eager = EagerReport(
        timings=tuple(EagerTiming(**timing(size, 40.0).model_dump(), layout="NCHW") for size in (1, 32))
    )
    winner = next(report for report in reports if report.name == choice.selected)
    return BuildResult(
        recipe="digits",
        run_dir=Path("runs/digits"),
        candidates=tuple(
            Row(
                report=report,
                verdict=choice.verdicts[report.name],
                speed=speed_ups(report, eager=eager, baseline=reports[0]),
                outcome="",
                selected=report is winner,
            )
            for report in reports
        ),
        unproven=unproven,
        eager=eager,
        selected=choice.selected,
        why=choice.why,
        limits=LIMITS,
        searched=None,
        test=winner.quality,
        test_verdict=choice.verdicts[choice.selected],
        coverage={},
        words=task_named("classification").words,
        archive=Path("model_store/digits.mar"),
        archive_sha256="0" * 64,
        unlisted_operators=(),
        stages=(),
        goal=goal,
    )
