"""What `pipeline clean` takes out of a run directory, and that it never reaches beyond it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.candidates.choose import judge
from pipeline.candidates.selection import Selection
from pipeline.engine.artifacts import Artifact, Kind, digest_file
from pipeline.engine.cache_key import outdated
from pipeline.engine.manifest import Manifest, StageRecord, read_manifest, write_manifest
from pipeline.engine.runner import hold
from pipeline.errors import FileError, StageError
from pipeline.recipe.limits import Budget
from pipeline.stages import BUILD
from tests.builders import quality

WINNER, LOSER, FLOAT = "slim50.onnx.int8", "slim25.onnx.int8", "float.onnx.fp32"
_BUDGET = Budget()
_VERDICT = judge(quality(), _BUDGET, lossy=True, compared=1)
SELECTION = Selection(
    selected=WINNER,
    why="best latency",
    verdicts={},
    goal="latency",
    limits=_BUDGET,
    test=quality(),
    test_verdict=_VERDICT,
).model_dump_json()


@pytest.fixture(autouse=True)
def places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return finished_build(tmp_path, FLOAT)


def finished_build(tmp_path: Path, baseline: str) -> Path:
    """A finished build of three candidates, its files a few bytes each, with a cache and remains of a killed one."""
    folder = tmp_path / "run"
    files: dict[str, list[tuple[Kind, str, str | None]]] = {
        "data": [(Kind.DATA_INFO, "data.json", None), (Kind.VALIDATION_DATA, "validation.safetensors", None)],
        "train": [(Kind.WEIGHTS, "weights.safetensors", None)],
        "candidates": [
            (kind, f"{name}/{file}", name)
            for name in (WINNER, LOSER, baseline)
            for kind, file in (
                (Kind.CANDIDATE_MODEL, "model.onnx"),
                (Kind.CANDIDATE_REPORT, "report.json"),
                (Kind.TUNED_WEIGHTS, "tuned.safetensors"),
            )
        ],
        "select": [(Kind.SELECTION, "selection.json", None)],
        "package": [(Kind.ARCHIVE, "digits.mar", None)],
        "smoke": [(Kind.SMOKE_REPORT, "smoke.json", None)],
    }
    manifest = Manifest(recipe="digits", environment={})
    earlier: list[Artifact] = []
    for stage in BUILD:
        artifacts = []
        for kind, name, candidate in files[stage.name]:
            path = folder / stage.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(SELECTION if kind is Kind.SELECTION else name)
            artifacts.append(
                Artifact(
                    kind=kind,
                    path=f"{stage.name}/{name}",
                    sha256=digest_file(path),
                    size=path.stat().st_size,
                    candidate=candidate,
                )
            )
        parts = {f"input {artifact.path}": artifact.sha256 for artifact in earlier if artifact.kind in stage.reads}
        record = StageRecord(key="", parts=parts, artifacts=tuple(artifacts), seconds=0)
        manifest = manifest.with_stage(stage.name, record)
        earlier += artifacts
    write_manifest(folder, manifest)
    assert outdated(BUILD, manifest) == []
    for name in (".cache/candidates/a", ".scratch/train-0/b", ".train.77.tmp/c", ".select.77.old/d", "notes/e"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text("12345")
    (folder / ".manifest.json.abcd1234").write_text("half")
    (folder / "pareto.png").write_text("picture")
    return folder


def left_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {".lock"}


GONE = {
    f"candidates/{LOSER}/model.onnx",
    f"candidates/{LOSER}/tuned.safetensors",
    ".cache/candidates/a",
    ".scratch/train-0/b",
    ".train.77.tmp/c",
    ".select.77.old/d",
    ".manifest.json.abcd1234",
}


def test_the_winner_the_table_and_the_evidence_stay(run_dir: Path) -> None:
    before = left_in(run_dir)
    planned = pipeline.clean(run_dir, plan=True)
    assert left_in(run_dir) == before
    result = pipeline.clean(run_dir)
    assert before - left_in(run_dir) == GONE
    assert (result.finished, result.kept, result.removed) == (True, (WINNER, FLOAT), planned.removed)
    assert result.before == planned.before
    # The manifest grew by what it says was removed.
    assert result.before - sum(removal.size for removal in result.removed) == planned.after < result.after
    manifest = read_manifest(run_dir)
    assert manifest is not None
    assert manifest.removed == (f"candidates/{LOSER}/model.onnx", f"candidates/{LOSER}/tuned.safetensors")
    assert outdated(BUILD, manifest) == []
    assert pipeline.clean(run_dir).removed == ()
    # What the next build makes again was not removed any more.
    assert manifest.with_stage("candidates", manifest.stages["candidates"]).removed == ()


def test_the_baseline_stays_where_float_cannot_be_had_in_onnx(tmp_path: Path) -> None:
    folder = finished_build(tmp_path, "float.torchscript.fp32")
    before = left_in(folder)
    assert pipeline.clean(folder).kept == (WINNER, "float.torchscript.fp32")
    assert before - left_in(folder) == GONE


def test_interrupted_it_is_ended_by_the_next_one(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = left_in(run_dir)
    with monkeypatch.context() as patch:

        def interrupt(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr("pipeline.commands.clean.shutil.rmtree", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pipeline.clean(run_dir)
    assert read_manifest(run_dir) is not None
    pipeline.clean(run_dir)
    assert before - left_in(run_dir) == GONE


def test_of_an_unfinished_build_only_remains_go(run_dir: Path) -> None:
    manifest = read_manifest(run_dir)
    assert manifest is not None
    stages = {name: record for name, record in manifest.stages.items() if name != "smoke"}
    write_manifest(run_dir, manifest.model_copy(update={"stages": stages}))
    before = left_in(run_dir)
    result = pipeline.clean(run_dir)
    assert not result.finished
    assert before - left_in(run_dir) == {".train.77.tmp/c", ".select.77.old/d", ".manifest.json.abcd1234"}


def test_nothing_behind_a_link_is_touched(run_dir: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for name in ("loser", "cache"):
        (elsewhere / name).mkdir(parents=True)
        (elsewhere / name / "model.onnx").write_text("precious")
    loser, cache = run_dir / "candidates" / LOSER, run_dir / ".cache"
    for link, target in ((loser, elsewhere / "loser"), (cache, elsewhere / "cache")):
        link.rename(tmp_path / f"former{link.name}")
        link.symlink_to(target)
    (run_dir / ".scratch" / "out").symlink_to(elsewhere)
    result = pipeline.clean(run_dir)
    assert result.links == (".cache", f"candidates/{LOSER}")
    assert sorted(path.read_text() for path in elsewhere.rglob("model.onnx")) == ["precious", "precious"]
    assert not (run_dir / ".scratch").exists()


def test_a_manifest_that_names_other_folders_reaches_none(run_dir: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    content = (run_dir / "manifest.json").read_text()
    for path in (str(precious), "../precious"):
        (run_dir / "manifest.json").write_text(content.replace(f"candidates/{LOSER}/model.onnx", path))
        with pytest.raises(FileError, match=f"path: expected one inside the run directory, found '{path}'"):
            pipeline.clean(run_dir)
        assert precious.read_text() == "mine"


def test_any_other_folder_is_refused(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileError, match=r"expected a run directory of pipeline build, found no manifest\.json"):
            pipeline.clean(folder)
        assert not (folder / ".lock").exists()


def test_it_waits_for_no_build(run_dir: Path) -> None:
    before = left_in(run_dir)
    with hold(run_dir), pytest.raises(StageError, match="another build is running there; wait for it to end"):
        pipeline.clean(run_dir)
    assert left_in(run_dir) == before


def test_folders_of_killed_servers_go_too(run_dir: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "tmp" / "pipeline-ts-oldone", tmp_path / "tmp" / "pipeline-ts-newone"
    for folder in (old, new, tmp_path / "tmp" / "another"):
        folder.mkdir()
        (folder / "store").write_text("12345")
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))
    result = pipeline.clean(run_dir)
    assert str(old) in {removal.path for removal in result.removed}
    assert sorted(path.name for path in (tmp_path / "tmp").iterdir()) == ["another", "pipeline-ts-newone"]
