"""A manifest names the files of its run directory; no name in a stranger's manifest leads out of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.candidates.report import CandidateReport
from pipeline.engine.artifacts import Artifact, Kind
from pipeline.engine.documents import read_document
from pipeline.engine.manifest import Manifest, StageRecord, read_manifest, write_manifest
from pipeline.errors import FileError
from tests.builders import candidate


def recorded(run_dir: Path, path: str) -> None:
    """Write a manifest of a run directory that names a file."""
    right = Artifact(kind=Kind.WEIGHTS, path="train/weights.safetensors", sha256="0" * 64, size=1)
    record = StageRecord(key="k", parts={}, artifacts=(right,), seconds=1.0)
    write_manifest(run_dir, Manifest(recipe="digits", environment={}, stages={"train": record}))
    manifest = run_dir / "manifest.json"
    manifest.write_text(manifest.read_text().replace(json.dumps(right.path), json.dumps(path)))


@pytest.mark.parametrize("path", ["/etc/passwd", "../elsewhere", "train/../../elsewhere", "", "train/\0"])
def test_a_path_that_leaves_the_run_directory_is_refused_by_every_command(
    path: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path, path)
    line = f"stages.train.artifacts.0: path: expected one inside the run directory, found {path!a}"
    with pytest.raises(FileError, match=re.escape(line)):
        read_manifest(tmp_path)
    for command in ("verify", "report", "clean", "bench"):
        assert cli._run([command, str(tmp_path)]) == 3
        assert line in capfd.readouterr().err


def test_paths_inside_are_read(tmp_path: Path) -> None:
    recorded(tmp_path, "train/..weights/a.safetensors")
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest.stages["train"].artifacts[0].path == "train/..weights/a.safetensors"


@pytest.mark.parametrize("field", ["name", "identity", "variant"])
def test_a_candidate_is_not_called_as_a_path(field: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    document = candidate().model_dump(mode="json")
    file.write_text(json.dumps(document))
    assert read_document(file, CandidateReport) == candidate()
    file.write_text(json.dumps({**document, field: "../../escaped"}))
    with pytest.raises(FileError, match=rf"report\.json: {field}: String should match pattern .*; run pipeline build"):
        read_document(file, CandidateReport)
    file.write_text("[" * 100_000)
    with pytest.raises(FileError, match="expected a candidate's report, found: maximum recursion depth"):
        read_document(file, CandidateReport)
