"""The parts of a stage's cache key: what its result depends on, and which parts have changed since its last run."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from pipeline.engine.artifacts import Artifact
from pipeline.engine.manifest import Manifest, StageRecord
from pipeline.engine.source import collect, library_versions
from pipeline.engine.stage import Stage
from pipeline.errors import StageError

PartKind = Literal["setting", "source", "library", "outside", "input"]

_PACKAGES = ("pipeline",)
_ROOT = Path(__file__).resolve().parents[2]


def stage_parts(stage: Stage[Any], settings: Any, manifest: Manifest) -> dict[str, str]:
    """Every part of a stage's cache key: digests and versions by names that begin with the kind of the part."""
    # A stage's package imports all stages, to put them in order. The code of other stages is not this stage's source.
    module = stage.run.__module__
    sources = collect(module, _ROOT, within=_PACKAGES, leave_out=(module.rpartition(".")[0],))
    parts = setting_parts(settings)
    parts |= _with_kind("source", sources.files)
    parts |= _with_kind("library", library_versions(sources.libraries))
    parts |= _with_kind("outside", stage.outside(settings))
    return parts | input_parts(stage, manifest)


def setting_parts(settings: Any) -> dict[str, str]:
    """The parts that are settings; a field excluded from serialization is no part.

    Raises:
        StageError: the settings are not a pydantic model.
    """
    if not isinstance(settings, BaseModel):
        raise StageError(f"settings of type {type(settings).__name__}: expected a pydantic model")
    return _with_kind("setting", dict(_flat("", settings.model_dump(mode="json"))))


def input_parts(stage: Stage[Any], manifest: Manifest) -> dict[str, str]:
    """The parts that are files of the run directory."""
    return _with_kind("input", {artifact.path: artifact.sha256 for artifact in stage_inputs(stage, manifest)})


def stage_inputs(stage: Stage[Any], manifest: Manifest) -> tuple[Artifact, ...]:
    """The recorded files that a stage reads."""
    return tuple(artifact for artifact in manifest.artifacts() if artifact.kind in stage.reads)


def stale_parts(record: StageRecord, current: Mapping[str, str], *, kinds: Collection[PartKind]) -> list[str]:
    """Names of the parts that have changed since a stage ran.

    Args:
        record: record of that run.
        current: all parts of these kinds as they are now.
        kinds: the kinds of part that are compared.
    """
    former = {name: value for name, value in record.parts.items() if name.partition(" ")[0] in kinds}
    return sorted(name for name in former.keys() | current.keys() if former.get(name) != current.get(name))


def outdated(stages: Sequence[Stage[Any]], manifest: Manifest) -> list[str]:
    """Names of the stages that have no record, or whose record has other inputs than those recorded now.

    A build that ended early leaves the former records of its later stages. They still save work when an earlier stage
    comes out the same, but together they are not a finished build.
    """
    names = []
    for stage in stages:
        record = manifest.stages.get(stage.name)
        kinds: tuple[PartKind, ...] = ("input",)
        if record is None or stale_parts(record, input_parts(stage, manifest), kinds=kinds):
            names.append(stage.name)
    return names


def _with_kind(kind: PartKind, parts: Mapping[str, str]) -> dict[str, str]:
    """Parts under names that begin with their kind."""
    return {f"{kind} {name}": value for name, value in parts.items()}


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    """Settings as dotted names and JSON values."""
    if isinstance(value, dict) and value:
        return [pair for key, inner in value.items() for pair in _flat(f"{prefix}.{key}" if prefix else key, inner)]
    return [(prefix, json.dumps(value, sort_keys=True))]
