"""Makes all candidates of a build: those that the recipe asks for, and those that a search adds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.candidates.context import Context
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.requested import Maker, make_requested
from pipeline.candidates.spec import FALLBACK, CandidateSpec
from pipeline.candidates.unproven import Unproven
from pipeline.engine.deadline import Deadline
from pipeline.engine.stage import report_status
from pipeline.recipe.limits import Measure
from pipeline.recipe.passes import FineTune
from pipeline.search.comparison import SpeedComparison
from pipeline.search.search import LABEL_WEIGHT, Searched, aim_for, beyond_proof, planned, precisions_for, search
from pipeline.search.settings import SearchSettings


@dataclass(frozen=True, kw_only=True)
class MadeCandidates:
    """The candidates that were tried.

    Args:
        specs: specifications of the candidates that are proven, in the order of the table.
        reports: reports on them, by name.
        rows: rows of the others.
        compared: number of lossy candidates that could have been selected, including those that a search planned.
        networks: names of the networks that a search made; None without a search.
    """

    specs: list[CandidateSpec]
    reports: dict[str, CandidateReport]
    rows: list[Unproven]
    compared: int
    networks: tuple[str, ...] | None


def make_candidates(
    maker: Maker, context: Context, *, searched: SearchSettings | None, measure: Measure
) -> MadeCandidates:
    """Make, prove and judge the candidates that the recipe asks for, and those that a search adds.

    Args:
        maker: makes a candidate, and holds what the recipe asks for.
        context: what candidates are made from and checked against.
        searched: settings of the search; None without one.
        measure: how candidates are timed while a search goes on.

    Raises:
        PipelineError: a candidate that the build must not go on without cannot be made or proven.
    """
    specs, rows = make_requested(
        maker.candidates,
        make=lambda spec: maker.make(spec, context),
        named=maker.named,
        reporter=context.reporter,
    )
    compared = sum(spec.lossy for spec in specs)
    networks: tuple[str, ...] | None = None
    if searched is not None:
        networks = ()
        absent = next((row for row in rows if row.name == FALLBACK), None)
        if absent is None:
            more, count = _search(searched, maker, context, specs=specs, measure=measure)
            specs, rows, compared = [*specs, *more.specs], [*rows, *more.rows], compared + count
            networks = more.networks
        else:
            context.reporter.log(f"search: none, for its networks are made in ONNX, and {FALLBACK} {absent.verdict}")
    return MadeCandidates(specs=specs, reports=maker.reports, rows=rows, compared=compared, networks=networks)


def _search(
    settings: SearchSettings, maker: Maker, context: Context, *, specs: list[CandidateSpec], measure: Measure
) -> tuple[Searched, int]:
    """Return what a search makes besides the candidates that exist, and how many it might have made."""
    say = context.reporter
    lossy = sum(spec.lossy for spec in specs)
    if context.decisions is not None and (
        why := beyond_proof(maker.reports[FALLBACK].quality, settings.budget, compared=lossy)
    ):
        say.log(f"search: none: {why}")
        return Searched(specs=[], rows=[]), 0
    report_status(
        say, "step", f"search: {settings.effort}, for {settings.goal}, {settings.limit_s / 60:g} minutes at most"
    )
    deadline = Deadline(context.scratch / "search-seconds.kept", settings.limit_s, say.log)
    timed = replace(context, limit=deadline)
    comparison = SpeedComparison(context=context, goal=settings.goal, measure=measure)
    precisions = precisions_for([maker.reports[spec.name] for spec in specs], gains=comparison.gains, reporter=say)
    if context.decisions is not None:
        say.log(
            "search: networks learn the float network's answers alone, because they are judged by agreement with it"
        )
    searched = search(
        timed,
        effort=settings.effort,
        limits=settings.budget,
        compared=lossy,
        tuning=FineTune(
            label_weight=LABEL_WEIGHT if context.decisions is None else 0.0, shift=settings.shift, seed=settings.seed
        ),
        baseline=next(spec for spec in specs if spec.name == FALLBACK),
        precisions=precisions,
        aim=aim_for(settings.goal, measure, round_to=settings.round_to),
        evaluate=lambda spec: maker.make(spec, timed),
        comparison=comparison,
        deadline=deadline,
    )
    return searched, planned(settings.effort, precisions)
