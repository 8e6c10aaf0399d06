"""All candidates of a build: those that the recipe asks for, and those that a search makes besides."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.candidates.ground import Ground
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.requested import Maker, make_requested
from pipeline.candidates.spec import FALLBACK, CandidateSpec
from pipeline.candidates.unproven import Unproven
from pipeline.engine.deadline import Deadline
from pipeline.recipe.limits import Measure
from pipeline.recipe.passes import FineTune
from pipeline.search.comparison import Contest
from pipeline.search.search import LABEL_WEIGHT, Searched, aim_for, planned, precisions_for, search
from pipeline.search.settings import SearchSettings


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What was tried.

    Args:
        specs: of the candidates that are proven, in the order of the table.
        reports: of them, by name.
        rows: of the others.
        compared: lossy candidates that could have been selected, planned ones of a search included.
        networks: names of the networks that a search made; None without a search.
    """

    specs: list[CandidateSpec]
    reports: dict[str, CandidateReport]
    rows: list[Unproven]
    compared: int
    networks: tuple[str, ...] | None


def make_candidates(maker: Maker, ground: Ground, *, searched: SearchSettings | None, measure: Measure) -> Tried:
    """Make, prove and judge what the recipe asks for, and what a search makes besides.

    Args:
        maker: makes one; knows what the recipe asks for.
        ground: what candidates are made from and held against.
        searched: of the search; None without one.
        measure: how candidates are timed while a search goes on.

    Raises:
        PipelineError: a candidate that the build must not go on without cannot be made or proven.
    """
    specs, rows = make_requested(
        maker.candidates,
        make=lambda spec: maker.make(spec, ground),
        named=maker.named,
        reporter=ground.reporter,
    )
    compared = sum(spec.lossy for spec in specs)
    networks: tuple[str, ...] | None = None
    if searched is not None:
        networks = ()
        absent = next((row for row in rows if row.name == FALLBACK), None)
        if absent is None:
            more, count = _search(searched, maker, ground, specs=specs, measure=measure)
            specs, rows, compared = [*specs, *more.specs], [*rows, *more.rows], compared + count
            networks = more.networks
        else:
            ground.reporter.log(f"search: none, for its networks are made in ONNX, and {FALLBACK} {absent.verdict}")
    return Tried(specs=specs, reports=maker.reports, rows=rows, compared=compared, networks=networks)


def _search(
    settings: SearchSettings, maker: Maker, ground: Ground, *, specs: list[CandidateSpec], measure: Measure
) -> tuple[Searched, int]:
    """What a search makes besides the candidates that are there, and how many it might have made."""
    say = ground.reporter
    say.log(f"search: {settings.effort}, for {settings.goal}, {settings.limit_s / 60:g} minutes at most")
    deadline = Deadline(ground.scratch / "search-seconds.kept", settings.limit_s, say.log)
    timed = replace(ground, limit=deadline)
    contest = Contest(ground=ground, goal=settings.goal, measure=measure)
    precisions = precisions_for([maker.reports[spec.name] for spec in specs], gains=contest.gains, reporter=say)
    searched = search(
        timed,
        effort=settings.effort,
        limits=settings.budget,
        compared=sum(spec.lossy for spec in specs),
        tuning=FineTune(label_weight=LABEL_WEIGHT, shift=settings.shift, seed=settings.seed),
        baseline=next(spec for spec in specs if spec.name == FALLBACK),
        precisions=precisions,
        aim=aim_for(settings.goal, measure, round_to=settings.round_to),
        evaluate=lambda spec: maker.make(spec, timed),
        contest=contest,
        deadline=deadline,
    )
    return searched, planned(settings.effort, precisions)
