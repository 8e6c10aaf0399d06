"""`evidence.json`: where a model comes from and what was measured.

No times, dates, hosts or places are in it, so that the same inputs give the same bytes.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from pipeline.artifacts import digest_bytes
from pipeline.errors import FileError
from pipeline.formats import FormatName
from pipeline.precision import Precision
from pipeline.recipe import Recipe
from pipeline.releases import made_elsewhere
from pipeline.source import collect, factory_sources, library_versions

_PACKAGES = ("pipeline", "handlers")
_ROOT = Path(__file__).resolve().parents[2]
# What a build runs; the command line and the terminal are not part of what makes an archive.
_BUILD_MODULE = "pipeline.builder"
# Of a candidate's report. Timings belong to a host and an hour, and stay outside.
_REPORTED = (
    "name",
    "identity",
    "variant",
    "format",
    "precision",
    "lossy",
    "how",
    "passes",
    "tuned_sha256",
    "sha256",
    "size",
    "parity",
    "quality",
)
# Of a quality report, what `pipeline verify --data` compares.
_JUDGED = ("accuracy", "drop", "drop_upper")


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Code(_Data):
    """What code made the archive.

    Args:
        name: of the package.
        version: of the package.
        source_sha256: over path and SHA-256 of each of its source files that a build runs.
        python: version of the interpreter.
        libraries: versions of the distributions that this source and the user's import, by name.
        user_sources: SHA-256 of the user's own modules that model, data and loss are made of, by path relative to the
            recipe, or to where an installed package lies.
    """

    name: str
    version: str
    source_sha256: str
    python: str
    libraries: dict[str, str]
    user_sources: dict[str, str]


class DataEvidence(_Data):
    """On what data.

    Args:
        name: of the data set.
        sizes: examples per split.
        digests: SHA-256 of each split's values.
        sources: SHA-256 of the files it was read from, by name.
        class_counts: examples per split, by class.
        gaps: classes of which a split holds nothing or too little, and what verdicts on it do not say.
    """

    name: str
    sizes: dict[str, int]
    digests: dict[str, str]
    sources: dict[str, str]
    class_counts: dict[str, tuple[int, ...]] = {}
    gaps: tuple[str, ...] = ()


class CandidateEvidence(_Data):
    """One row of the table: what the candidate is, its parity, its quality on validation, and what was decided.

    Args:
        verdict: of the budget.
        passes: what each did, and its settings.
        tuned_sha256: of its fine-tuned weights, None without any.
        sha256: of its model file.
        parity: largest difference from its reference, the limit and more.
        quality: decisions against float on validation, with intervals.
    """

    name: str
    identity: str
    variant: str
    format: FormatName
    precision: Precision
    lossy: bool
    how: str
    passes: tuple[dict[str, Any], ...]
    tuned_sha256: str | None = None
    sha256: str
    size: int
    parity: dict[str, Any]
    quality: dict[str, Any]
    verdict: str


class UnprovenEvidence(_Data):
    """What was tried and could not be selected: it cannot be made of this network, or was not proven.

    Args:
        verdict: `cannot be made`, or `not proven`.
        brief: what was found, in a few words; empty where only the reason says it.
        reason: the same in full.
    """

    name: str
    identity: str
    variant: str
    format: FormatName
    precision: Precision
    lossy: bool
    verdict: str
    brief: str
    reason: str


class Metrics(_Data):
    """The packed candidate's decisions against float, with intervals; the test set was opened for this alone.

    Each holds what the quality check reports, and `accuracy_lower` and `accuracy_upper`, the 95 % interval.
    """

    validation: dict[str, Any]
    test: dict[str, Any]

    @field_validator("validation", "test")
    @classmethod
    def _figures(cls, quality: dict[str, Any]) -> dict[str, Any]:
        for name in _JUDGED:
            value = quality.get(name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1 <= value <= 1:
                raise ValueError(f"{name}: expected a number from -1 to 1, found {value!a}")
        return quality


class Evidence(_Data):
    """All of it.

    Args:
        schema_number: of this document.
        model: name and version in the archive.
        candidate: name of the packed candidate.
        why: it was chosen.
        task: what the outputs mean.
        activation: what the outputs are already: logits in evidence without the field.
        inputs: what one example of the data consists of, as `serving.json` describes it too.
        labels: the data's classes, one per output.
        parameters: values in the float network's parameters.
        recipe: resolved settings; of a path on the builder's machine only the last part.
        seeds: of the split and of training.
        code: what made it.
        data: what it was made from.
        weights_sha256: of the float network's weights.
        files: SHA-256 of the files that the float network was made from: weights to start from, files that arguments
            name, and what the model's and the loss's code read. Of a path on the builder's machine only the last part.
        metrics: of the packed candidate.
        candidates: every candidate compared, in the recipe's order.
        unproven: what was tried besides, and could not be selected.
        members: SHA-256 of the archive's other members but `serving.json`, which lists this one.
    """

    schema_number: Literal[1] = 1
    model: dict[Literal["name", "version"], str]
    candidate: str
    why: str
    task: str
    activation: str = "none"
    inputs: tuple[dict[str, Any], ...]
    labels: tuple[str, ...]
    parameters: int
    recipe: dict[str, Any]
    seeds: dict[str, int]
    code: Code
    data: DataEvidence
    weights_sha256: str
    files: dict[str, str] = {}
    metrics: Metrics
    candidates: tuple[CandidateEvidence, ...]
    unproven: tuple[UnprovenEvidence, ...] = ()
    members: dict[str, str] = {}

    @property
    def packed(self) -> CandidateEvidence:
        """The packed candidate's row."""
        return next(one for one in self.candidates if one.name == self.candidate)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The archive that evidence speaks of, as a file.

    Args:
        file: its name.
        sha256: of the whole file.
        digest: SHA-256 of its `serving.json`, which lists all other members.
        inputs: what one example consists of, in words.
    """

    file: str
    sha256: str
    digest: str
    inputs: tuple[str, ...]


def package_url(name: str, version: str) -> str:
    """A distribution's package URL: https://github.com/package-url/purl-spec."""
    from urllib.parse import quote

    from packaging.utils import canonicalize_name

    return f"pkg:pypi/{canonicalize_name(name)}@{quote(version, safe='')}"


def portable_settings(recipe: Recipe) -> dict[str, Any]:
    """A recipe's settings as JSON values, without the smoke test's and without places on this machine.

    The smoke test runs on the finished archive, so that nothing in the archive may depend on it.
    """
    settings = recipe.model_dump(mode="json", exclude={"smoke"})
    found: dict[str, Any] = _without_places(settings)
    return found


def describe_code(recipe: Mapping[str, Any], folder: Path) -> Code:
    """The code that a build runs: ours, the libraries', the user's.

    Args:
        recipe: as `portable_settings` gives it.
        folder: the recipe's, where the user's modules lie.
    """
    from importlib import metadata

    ours = collect(_BUILD_MODULE, _ROOT, within=_PACKAGES)
    factories = [recipe["model"]["factory"], recipe["data"]["factory"], recipe["train"]["loss"]]
    users: dict[str, str] = {}
    libraries = ours.libraries
    for factory in factories:
        if factory is not None:
            theirs = factory_sources(factory, folder)
            users |= theirs.files
            libraries |= theirs.libraries
    return Code(
        name=_PACKAGES[0],
        version=metadata.version(_PACKAGES[0]),
        source_sha256=digest_bytes(json.dumps(ours.files, sort_keys=True).encode()),
        python=platform.python_version(),
        libraries=library_versions(libraries),
        user_sources=dict(sorted(users.items())),
    )


def make_evidence(
    *,
    model: Mapping[Literal["name", "version"], str],
    recipe: Mapping[str, Any],
    code: Code,
    info: Mapping[str, Any],
    inputs: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
    data: DataEvidence,
    weights_sha256: str,
    selection: Mapping[str, Any],
    metrics: Metrics,
    reports: Sequence[Mapping[str, Any]],
    unproven: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The document, but for the members' digests, which are known when they are packed.

    Args:
        model: name and version in the archive.
        recipe: as `portable_settings` gives it.
        code: as `describe_code` gives it.
        info: facts of the model, as the train stage writes them.
        inputs: of the data set, as JSON values.
        labels: classes of the data set.
        data: facts of the data set.
        weights_sha256: of the float network's weights.
        selection: as the select stage writes it.
        metrics: of the packed candidate.
        reports: of every candidate that is proven, in the recipe's order, as JSON values.
        unproven: rows of the others, likewise.
    """
    rows = [
        CandidateEvidence(
            **{name: report[name] for name in _REPORTED}, verdict=selection["verdicts"][report["name"]]["text"]
        )
        for report in reports
    ]
    packed = next(row for row in rows if row.name == selection["selected"])
    evidence = Evidence(
        model=dict(model),
        candidate=packed.name,
        why=selection["why"],
        task=info["task"],
        activation=info["activation"],
        inputs=tuple(dict(one) for one in inputs),
        labels=tuple(labels),
        parameters=info["parameters"],
        recipe=dict(recipe),
        seeds={"data": recipe["data"]["seed"], "train": recipe["train"]["seed"]},
        code=code,
        data=data,
        weights_sha256=weights_sha256,
        files=info.get("files", {}),
        metrics=metrics,
        candidates=tuple(rows),
        unproven=tuple(UnprovenEvidence(**row) for row in unproven),
    )
    return evidence.model_dump(mode="json")


def read_evidence(where: str, document: Mapping[str, Any] | None) -> Evidence:
    """Read what an archive's `evidence.json` says.

    Args:
        where: the archive, for messages.
        document: its JSON value; None where there is none.

    Raises:
        FileError: there is none, or it is of another schema.
    """
    if document is None:
        raise FileError(f"{where}: expected a member evidence.json, found none; build it with this version")
    try:
        evidence = Evidence.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or "document"
        made = made_elsewhere(document)
        raise FileError(f"{where}: evidence.json: {place}: {problem['msg']}{made}") from error
    if evidence.candidate not in [row.name for row in evidence.candidates]:
        raise FileError(f"{where}: evidence.json: expected a row of candidate {evidence.candidate}, found none")
    return evidence


def _without_places(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_places(inner) for key, inner in value.items()}
        case list():
            return [_without_places(inner) for inner in value]
        case str() if PurePosixPath(value).is_absolute() or value.startswith("~"):
            return PurePosixPath(value).name
        case str() if PureWindowsPath(value).is_absolute():
            return PureWindowsPath(value).name
        case _:
            return value
