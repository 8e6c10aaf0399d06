"""Stage `select`: judge every candidate, pick the winner, and open the test set once for the report."""

from __future__ import annotations

import json
from typing import Literal

from pipeline.artifacts import Kind
from pipeline.recipe import Recipe, Section
from pipeline.stage import Inputs, Outputs, Stage


class SelectSettings(Section):
    """What the stage sees of a recipe."""

    max_accuracy_drop: float
    goal: Literal["latency", "throughput", "size"]
    candidate: str | None


def settings(recipe: Recipe) -> SelectSettings:
    """The stage's view of a recipe."""
    return SelectSettings(
        max_accuracy_drop=recipe.budget.max_accuracy_drop,
        goal=recipe.select.goal,
        candidate=recipe.select.candidate,
    )


def run(settings: SelectSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write `selection.json`: the winner, why, a verdict per candidate, and the winner on test."""
    from pipeline.candidates.choose import choose
    from pipeline.candidates.evaluate import read_inputs_of, served_quality
    from pipeline.candidates.report import read_report
    from pipeline.candidates.spec import FALLBACK

    reports = {name: read_report(path) for name, path in inputs.candidates(Kind.CANDIDATE_REPORT).items()}
    order = json.loads(inputs.one(Kind.CANDIDATE_ORDER).read_bytes())
    choice = choose(
        [reports[name] for name in order],
        goal=settings.goal,
        max_accuracy_drop=settings.max_accuracy_drop,
        named=settings.candidate,
    )
    winner = reports[choice.selected]
    test = served_quality(
        winner,
        inputs.of_candidate(Kind.CANDIDATE_MODEL, winner.name),
        reports[FALLBACK],
        inputs.of_candidate(Kind.CANDIDATE_MODEL, FALLBACK),
        inputs=read_inputs_of(inputs.one(Kind.MODEL_INFO)),
        data=inputs.one(Kind.TEST_DATA),
        scratch=outputs.scratch,
    )
    document = {
        "selected": winner.name,
        "why": choice.why,
        "candidate": {"name": winner.name, "identity": winner.identity, "precision": winner.precision},
        "runtime": winner.runtime,
        "verdicts": {name: {"allowed": one.allowed, "text": one.text} for name, one in choice.verdicts.items()},
        "test": test.to_json(),
    }
    path = outputs.path(Kind.SELECTION, "selection.json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


STAGE = Stage(
    name="select",
    reads=(Kind.CANDIDATE_REPORT, Kind.CANDIDATE_MODEL, Kind.CANDIDATE_ORDER, Kind.MODEL_INFO, Kind.TEST_DATA),
    writes=(Kind.SELECTION,),
    settings=settings,
    run=run,
)
