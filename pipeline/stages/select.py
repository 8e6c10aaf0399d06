"""Stage `select`: it judges every candidate, picks the winner, and opens the test set once for the report."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.engine.artifacts import Kind
from pipeline.engine.factories import named_digests, user_factories
from pipeline.engine.stage import Inputs, Outputs, Stage
from pipeline.formats import FormatName
from pipeline.recipe.candidates import Goal
from pipeline.recipe.limits import Budget
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section


class SelectSettings(Section):
    """What the stage sees of a recipe; the recipe's folder is left out of the cache key."""

    budget: Budget
    goal: Goal
    candidate: str | None
    named_formats: tuple[FormatName, ...]
    factories: dict[str, str] = Field(exclude=True)
    folder: Path = Field(exclude=True)


def settings(recipe: Recipe) -> SelectSettings:
    """Return the stage's view of a recipe."""
    return SelectSettings(
        budget=recipe.budget,
        goal=recipe.goal,
        candidate=recipe.select.candidate,
        named_formats=recipe.candidates.named_formats,
        factories=user_factories(recipe, "task"),
        folder=recipe.folder,
    )


def outside(settings: SelectSettings) -> dict[str, str]:
    """Return digests of the user's score."""
    return named_digests(settings.factories, settings.folder)


def run(settings: SelectSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write `selection.json`: the winner, why it won, a verdict per candidate, and the winner's quality on test."""
    from pipeline.candidates.choose import choose, explain, judge
    from pipeline.candidates.report import CandidateReport
    from pipeline.candidates.selection import Selection
    from pipeline.candidates.served import served_quality
    from pipeline.candidates.spec import baseline_of
    from pipeline.candidates.unproven import CandidateList, Named, ending, way_on
    from pipeline.engine.documents import read_document, write_document

    files = inputs.candidates(Kind.CANDIDATE_REPORT)
    reports = {name: read_document(path, CandidateReport) for name, path in files.items()}
    listed = read_document(inputs.one(Kind.CANDIDATE_ORDER), CandidateList)
    # The recipe may name a candidate or a format only since the candidates were made. The build went on without it
    # then, and must end now.
    named = Named(formats=settings.named_formats, candidate=settings.candidate)
    for row in listed.unproven:
        if (way := way_on(row, named, named.formats)) is not None:
            raise ending(row, way)
    choice = choose(
        [reports[name] for name in listed.order],
        compared=listed.compared,
        goal=settings.goal,
        limits=settings.budget,
        named=settings.candidate,
    )
    winner, baseline = reports[choice.selected], reports[baseline_of(reports)]
    served = served_quality(
        winner,
        inputs.of_candidate(Kind.CANDIDATE_MODEL, winner.name),
        baseline,
        inputs.of_candidate(Kind.CANDIDATE_MODEL, baseline.name),
        model_info=inputs.one(Kind.MODEL_INFO),
        data=inputs.one(Kind.TEST_DATA),
        folder=settings.folder,
        scratch=outputs.scratch,
    )
    # The winner is chosen, so it alone is compared here, once.
    test = served.quality
    verdict = judge(test, settings.budget, lossy=winner.lossy, compared=1)
    if not verdict.allowed:
        outputs.reporter.log(f"select: on test, {explain(winner.name, test, verdict, settings.budget)}")
    selection = Selection(
        selected=winner.name,
        why=choice.why,
        verdicts=choice.verdicts,
        goal=settings.goal,
        limits=settings.budget,
        test=test,
        test_verdict=verdict,
        decided={"validation": listed.decided, "test": served.decided} if served.decided else {},
    )
    write_document(outputs.path(Kind.SELECTION, "selection.json"), selection)
    if served.metrics is not None:
        write_document(outputs.path(Kind.TEST_METRICS, "metrics.json"), served.metrics)


STAGE = Stage(
    name="select",
    reads=(Kind.CANDIDATE_REPORT, Kind.CANDIDATE_MODEL, Kind.CANDIDATE_ORDER, Kind.MODEL_INFO, Kind.TEST_DATA),
    writes=(Kind.SELECTION,),
    may_write=(Kind.TEST_METRICS,),
    settings=settings,
    run=run,
    outside=outside,
)
