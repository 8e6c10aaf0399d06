"""Stage `smoke`: it checks the archive through a running server, as `pipeline verify ARCHIVE --url` does.

The stage starts and stops the server itself. First it compares the archive's description with the data set and the
selected candidate: the archive's own golden answers cannot show what the packager got wrong there.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import Document
from pipeline.engine.stage import AsSteps, Inputs, Outputs, Stage
from pipeline.recipe.recipe import Recipe


class SmokeSettings(BaseModel):
    """What the check through the server depends on."""

    model_config = ConfigDict(frozen=True)

    pictures: int
    timeout_s: float = Field(exclude=True)  # a longer wait gives the same answers


class SmokeReport(Document):
    """The document `smoke.json`, for people: no stage reads it.

    Args:
        model: name of the served model.
        candidate: name of the candidate that was packed.
        digest: digest of the archive.
        posted: number of validation examples that were posted.
        content_type: content type in which they were posted.
        correct: number of right answers; without labels, of answers with the float network's decision.
        float_flips: number of decisions other than the float network's; None without a float network.
        comparison: comparison of the answers with those of this process, as JSON values.
        forms: comparison of the golden inputs in each form that a server takes, as JSON values.
    """

    title: ClassVar[str] = "the check through the server"

    model: str
    candidate: str
    digest: str
    posted: int
    content_type: str
    correct: int | float | None
    float_flips: int | None
    comparison: dict[str, Any]
    forms: tuple[dict[str, Any], ...]


def settings(recipe: Recipe) -> SmokeSettings:
    """Return the stage's view of a recipe."""
    return SmokeSettings(pictures=recipe.smoke.pictures, timeout_s=recipe.smoke.timeout_s)


def run(settings: SmokeSettings, inputs: Inputs, outputs: Outputs) -> None:
    """Write `smoke.json`: golden inputs and validation examples posted, and how far the answers are from ours.

    Raises:
        ProofError: the archive describes another model than was selected, or an answer differs.
        ServerError: the server did not start, answer or stop.
    """
    from pipeline.archive.description import (
        require_activation,
        require_description,
        require_model,
        require_outputs,
        require_task,
    )
    from pipeline.archive.mar import read_archive
    from pipeline.candidates.selection import Selection
    from pipeline.candidates.spec import baseline_of
    from pipeline.data.dataset import read_info, read_split
    from pipeline.engine.artifacts import digest_file
    from pipeline.engine.documents import read_document, write_document
    from pipeline.models.info import ModelInfo
    from pipeline.recipe.task import of_the_build
    from pipeline.serving.check import verify_served
    from pipeline.serving.lifecycle import running_server

    archive = read_archive(inputs.one(Kind.ARCHIVE))
    data = read_info(inputs.one(Kind.DATA_INFO))
    described = [spec.to_json() for spec in data.inputs]
    info = read_document(inputs.one(Kind.MODEL_INFO), ModelInfo)
    require_outputs(archive, outputs=info.outputs, source="the model")
    labels = info.labels if info.outputs else data.classes
    require_description(archive, inputs=described, labels=labels, source=f"data set {data.name}")
    require_activation(archive, activation=info.activation, source="the model")
    settings_of_task = data.task.model_dump(mode="json", exclude={"kind", *of_the_build(data.task)})
    require_task(archive, task=data.task.kind, settings=settings_of_task, source=f"data set {data.name}")
    selected = read_document(inputs.one(Kind.SELECTION), Selection).selected
    sha256 = digest_file(inputs.of_candidate(Kind.CANDIDATE_MODEL, selected))
    require_model(archive, candidate=selected, sha256=sha256, source="the selection")
    models = inputs.candidates(Kind.CANDIDATE_MODEL)
    split = read_split(inputs.one(Kind.VALIDATION_DATA)).take(slice(0, settings.pictures))
    # The server runs the sources that were packed, as a server without this package does. They can be trusted, because
    # this build packed them itself.
    with running_server(archive, timeout_s=settings.timeout_s, trust=True) as server:
        served = verify_served(
            archive,
            server.url,
            data={"smoke": split},
            max_examples=settings.pictures,
            float_model=models[baseline_of(models)],
            reporter=AsSteps(outputs.reporter),
        )
    [posted] = served.quality
    report = SmokeReport(
        model=archive.serving.name,
        candidate=archive.serving.candidate,
        digest=archive.digest,
        posted=posted.examples,
        content_type=posted.form,
        correct=posted.correct,
        float_flips=posted.float_flips,
        comparison=dict(posted.comparison),
        forms=tuple(asdict(form) for form in served.forms),
    )
    write_document(outputs.path(Kind.SMOKE_REPORT, "smoke.json"), report)


STAGE = Stage(
    name="smoke",
    reads=(
        Kind.ARCHIVE,
        Kind.CANDIDATE_MODEL,
        Kind.DATA_INFO,
        Kind.MODEL_INFO,
        Kind.SELECTION,
        Kind.VALIDATION_DATA,
    ),
    writes=(Kind.SMOKE_REPORT,),
    settings=settings,
    run=run,
)
