"""A manifest lists the files of a run."""

from __future__ import annotations

import pytest

from pipeline.engine.artifacts import Artifact, Kind
from pipeline.engine.manifest import Manifest, StageRecord
from pipeline.errors import FileError


def artifact(kind: Kind, candidate: str | None = None) -> Artifact:
    return Artifact(kind=kind, path=f"{candidate}/{kind.value}", sha256="0" * 64, size=1, candidate=candidate)


def manifest(*artifacts: Artifact) -> Manifest:
    record = StageRecord(key="k", parts={}, artifacts=artifacts, seconds=1.0)
    return Manifest(recipe="digits", environment={}, stages={"stage": record})


def test_a_file_of_a_kind() -> None:
    weights = artifact(Kind.WEIGHTS)
    models = [artifact(Kind.CANDIDATE_MODEL, name) for name in ("float", "slim")]
    run = manifest(*models, weights, artifact(Kind.CANDIDATE_REPORT, "float"))
    assert run.one(Kind.WEIGHTS) == weights
    assert run.of_candidates(Kind.CANDIDATE_MODEL) == {"float": models[0], "slim": models[1]}


def test_a_kind_of_which_there_is_none() -> None:
    with pytest.raises(FileError, match=r"^manifest\.json: expected an artifact selection, found none; run pipeline"):
        manifest().one(Kind.SELECTION)
