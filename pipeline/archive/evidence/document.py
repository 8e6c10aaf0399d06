"""The document `evidence.json`: where a model comes from and what was measured.

It holds no times, dates, hosts or places, so that the same inputs give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import (
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_serializer,
)

from pipeline.archive.evidence.code import Code
from pipeline.archive.evidence.recorded import Recorded
from pipeline.archive.releases import made_elsewhere
from pipeline.engine.documents import Document, first_problem
from pipeline.errors import FileError
from pipeline.formats import FormatName
from pipeline.precision import Precision
from pipeline.recipe.task import TaskName
from pipeline.tasks.quality import JudgedBy


class DataEvidence(Document):
    """The data that the model was made from.

    Args:
        name: name of the data set.
        sizes: number of examples per split.
        digests: SHA-256 of each split's values.
        sources: SHA-256 of the files it was read from, by name.
        class_counts: number of examples per split, by class; without labels, as the float network decides.
        gaps: classes of which a split holds nothing or too little, and what verdicts on it do not say.
    """

    name: str
    sizes: dict[str, int]
    digests: dict[str, str]
    sources: dict[str, str]
    class_counts: dict[str, tuple[int, ...]] = Field(default={})
    gaps: tuple[str, ...] = ()


class PassEvidence(Recorded):
    """What a pass did.

    Args:
        kind: kind of the pass.
        detail: its settings in words.
    """

    kind: str
    detail: str


class ParityEvidence(Recorded):
    """How closely a candidate's file reproduces what it must.

    Args:
        reference: name of what it was compared with.
        max_absolute: largest difference on a logit.
        limit: the largest difference allowed where the file came closest to its limit.
    """

    reference: str
    max_absolute: float
    limit: float


class FigureEvidence(Recorded):
    """A figure of the whole set, which no limit was held against.

    Args:
        name: name of the figure, such as macro F1.
        value: figure of the candidate.
        float_value: figure of float.
        unit: unit of both; empty where they have none.
    """

    name: str
    value: float
    float_value: float
    unit: str = ""


_FIGURES: TypeAdapter[tuple[FigureEvidence, ...]] = TypeAdapter(tuple[FigureEvidence, ...])


class QualityEvidence(Recorded):
    """The decisions of a candidate compared with those of float.

    Args:
        accuracy: share of right answers; without labels, of answers with the float network's decision.
        drop: accuracy lost against float.
        drop_upper: one-sided upper bound of the drop, for this candidate alone. Unlike the bound of a verdict, it is
            not adjusted for the candidates that it was compared with.
    """

    accuracy: float
    drop: float
    drop_upper: float

    @property
    def metric(self) -> str:
        """Name of the mean score; evidence of earlier releases is of classifiers and does not say it."""
        return str((self.model_extra or {}).get("metric", "accuracy"))


class SplitEvidence(QualityEvidence):
    """Decisions of the packed candidate on a split, with intervals.

    Args:
        examples: number of examples of the split.
        float_accuracy: share of right answers of float; 1 without labels, by which float is right by definition.
        interval_lower: lower end of the two-sided 95 % interval of the drop.
        interval_upper: upper end of that interval.
        accuracy_lower: lower end of the 95 % interval of the accuracy.
        accuracy_upper: upper end of that interval.
    """

    examples: int
    float_accuracy: float
    interval_lower: float
    interval_upper: float
    accuracy_lower: float
    accuracy_upper: float

    @property
    def figures(self) -> tuple[FigureEvidence, ...]:
        """Figures of the whole split, where the task has such; `Metrics` has checked them."""
        return _FIGURES.validate_python((self.model_extra or {}).get("figures", ()))


class CandidateEvidence(Recorded):
    """A row of the table: the candidate's report without what belongs to a host, and the verdict.

    Args:
        name: name of the candidate.
        identity: digest of its specification.
        variant: name of the network that its passes make.
        format: format of its file.
        precision: number format of the weights.
        lossy: whether it may answer otherwise than float at all.
        how: way in which its file was made.
        passes: what each pass did, and its settings.
        tuned_sha256: SHA-256 of its fine-tuned weights; None without any.
        sha256: SHA-256 of its model file.
        size: size of that file, in bytes.
        parity: largest difference from its reference, the limit and more.
        quality: decisions against float on validation, with intervals.
        verdict: verdict of the budget.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    identity: str
    variant: str
    format: FormatName
    precision: Precision
    lossy: bool
    how: str
    passes: tuple[PassEvidence, ...]
    tuned_sha256: str | None = None
    sha256: str
    size: int
    parity: ParityEvidence
    quality: QualityEvidence
    verdict: str


class UnprovenEvidence(Recorded):
    """A row of a candidate that was tried and could not be selected: it cannot be made, or was not proven.

    Args:
        name: name of the candidate.
        identity: digest of its specification.
        variant: name of the network that its passes make.
        format: format of its file.
        precision: number format of the weights.
        lossy: whether it may answer otherwise than float at all.
        verdict: `cannot be made`, or `not proven`.
        brief: what was found, in a few words; empty where only the reason says it.
        reason: what was found, in full.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    identity: str
    variant: str
    format: FormatName
    precision: Precision
    lossy: bool
    verdict: str
    brief: str
    reason: str


class Metrics(Document):
    """The packed candidate's decisions against float, with intervals; the test set was opened for this alone."""

    validation: SplitEvidence
    test: SplitEvidence

    @field_validator("validation", "test", mode="before")
    @classmethod
    def _are_shares(cls, quality: Any) -> Any:
        """Check figures of somebody's archive: one that is no share is named before anything is said of it."""
        try:
            recorded = quality if isinstance(quality, Mapping) else dict(quality)
        except TypeError as error:
            raise ValueError(f"expected an object of figures, found {quality!a}") from error
        try:
            _FIGURES.validate_python(recorded.get("figures", ()))
        except ValidationError as error:
            raise ValueError(f"figures: {first_problem(error)}") from error
        for name in ("accuracy", "drop", "drop_upper"):
            value = recorded.get(name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
                raise ValueError(f"{name}: expected a number from -1 to 1, found {value!a}")
        return quality


class Evidence(Document):
    """The whole document.

    Args:
        schema_number: number of this document's schema.
        model: name and version in the archive.
        candidate: name of the packed candidate.
        why: why the candidate was chosen.
        task: what the outputs mean.
        activation: what the outputs are already; evidence without the field speaks of logits.
        inputs: what one example of the data consists of, as `serving.json` describes it too.
        labels: the data's classes, one per output.
        parameters: number of values in the float network's parameters.
        recipe: resolved settings; only the last part is kept of a path on the builder's machine.
        seeds: seeds of the split and of training.
        code: code that made it.
        data: data that it was made from.
        judged_by: what decisions were held against; left out of the document where it is the data's targets.
        weights_sha256: SHA-256 of the float network's weights.
        files: SHA-256 of the files that the float network was made from: weights to start from, files that arguments
            name, and what the model's and the loss's code read. Only the last part is kept of a path on the builder's
            machine.
        metrics: metrics of the packed candidate.
        candidates: rows of every candidate compared, in the recipe's order.
        unproven: rows of the candidates that were tried besides, and could not be selected.
        members: SHA-256 of the archive's other members but `serving.json`, which lists `evidence.json` itself.
    """

    schema_number: Literal[1] = 1
    model: dict[Literal["name", "version"], str]
    candidate: str
    why: str
    task: TaskName
    activation: str = "none"
    inputs: tuple[dict[str, Any], ...]
    labels: tuple[str, ...]
    parameters: int
    recipe: dict[str, Any]
    seeds: dict[str, int]
    code: Code
    data: DataEvidence
    judged_by: JudgedBy = "targets"
    weights_sha256: str
    files: dict[str, str] = Field(default={})
    metrics: Metrics
    candidates: tuple[CandidateEvidence, ...]
    unproven: tuple[UnprovenEvidence, ...] = ()
    members: dict[str, str] = Field(default={})

    @model_serializer(mode="wrap")
    def _without_the_usual(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        return {name: value for name, value in values.items() if name != "judged_by" or value != "targets"}

    @property
    def labelled(self) -> bool:
        """Whether quality was judged by labels. If not, agreement with the float network is what was proven."""
        return self.judged_by == "targets"

    @property
    def architecture(self) -> str:
        """Name of the network that the recipe gives, or of the user's function that makes it."""
        model = self.recipe["model"]
        return str(model["name"] or model["factory"])

    @property
    def task_settings(self) -> dict[str, Any]:
        """Settings of the task that the recipe gives; it leaves the others to the training data."""
        task = self.recipe.get("task")
        if not isinstance(task, Mapping):  # a release that knew of one task alone
            return {}
        return {name: value for name, value in task.items() if name != "kind" and value}

    @property
    def packed(self) -> CandidateEvidence:
        """The packed candidate's row."""
        return next(row for row in self.candidates if row.name == self.candidate)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The archive that evidence speaks of, as a file.

    Args:
        file: name of the file.
        sha256: SHA-256 of the whole file.
        digest: SHA-256 of its `serving.json`, which lists all other members.
        inputs: what one example consists of, in words.
    """

    file: str
    sha256: str
    digest: str
    inputs: tuple[str, ...]


def package_url(name: str, version: str) -> str:
    """Return a distribution's package URL: https://github.com/package-url/purl-spec."""
    from urllib.parse import quote

    from packaging.utils import canonicalize_name

    return f"pkg:pypi/{canonicalize_name(name)}@{quote(version, safe='')}"


def read_evidence(where: str, document: Mapping[str, Any] | None) -> Evidence:
    """Read what an archive's `evidence.json` says.

    Args:
        where: path of the archive, for messages.
        document: its JSON value; None where there is none.

    Raises:
        FileError: there is none, or it is of another schema.
    """
    if document is None:
        raise FileError(f"{where}: expected a member evidence.json, found none; build it with this version")
    try:
        evidence = Evidence.model_validate(document)
    except ValidationError as error:
        raise FileError(f"{where}: evidence.json: {first_problem(error)}{made_elsewhere(document)}") from error
    if evidence.candidate not in [row.name for row in evidence.candidates]:
        raise FileError(f"{where}: evidence.json: expected a row of candidate {evidence.candidate}, found none")
    return evidence
