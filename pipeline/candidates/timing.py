"""Times all candidates of a build, and the float network in torch, side by side."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.candidates.context import Context
from pipeline.candidates.eager import EagerSource, eager_subjects, fastest_eager
from pipeline.candidates.evaluate import folder_of
from pipeline.candidates.report import CandidateReport, EagerReport, TimingFigures
from pipeline.measure.latency import file_subject, measure_latency
from pipeline.recipe.limits import Measure


def time_side_by_side(
    reports: Sequence[CandidateReport], eager: EagerSource, context: Context, *, measure: Measure, threads: int
) -> tuple[list[CandidateReport], EagerReport]:
    """Time every candidate's file and eager torch in the same rounds.

    Args:
        reports: reports on the candidates. Their files lie in the scratch folder.
        eager: what the network that torch runs is made from.
        context: what they were made from.
        measure: the recipe's `[measure]` section.
        threads: number of threads that eager torch computes with.

    Returns:
        The reports with their timings, and the timings of eager torch in its fastest memory formats.

    Raises:
        StageError: a timing process ended by itself.
    """
    measured = measure_latency(
        [
            *eager_subjects(eager, context.model, batch_sizes=measure.batch_sizes, threads=threads),
            *(
                file_subject(
                    report.name,
                    folder_of(report, context),
                    report.runtime,
                    inputs=context.model.inputs,
                    samples=context.samples,
                    batch_sizes=measure.batch_sizes,
                )
                for report in reports
            ),
        ],
        rounds=measure.rounds,
        block_s=measure.block_ms / 1e3,
        reporter=context.reporter,
    )
    timed = [
        report.model_copy(
            update={
                "timings": tuple(
                    TimingFigures.model_validate(timing.to_json()) for timing in measured[report.name].timings
                )
            }
        )
        for report in reports
    ]
    return timed, fastest_eager(measured)
