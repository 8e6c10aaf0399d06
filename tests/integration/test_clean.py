"""A real run directory after `pipeline clean`: what is told of it, and that a build makes it whole again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import pipeline
from pipeline.commands.bench.targets import REMOVED, open_target
from pipeline.commands.build import plan
from pipeline.commands.opened import open_run
from pipeline.commands.report import report
from tests.example_build import Built


@pytest.fixture
def cleaned(built: Built, tmp_path: Path) -> Path:
    run_dir = tmp_path / "run"
    shutil.copytree(built.run_dir, run_dir)
    pipeline.clean(run_dir)
    return run_dir


def test_what_is_told_of_it_afterwards(built: Built, cleaned: Path, tmp_path: Path) -> None:
    before, after = report(built.run_dir), report(cleaned)
    assert [row.report for row in after.candidates] == [row.report for row in before.candidates]
    assert (after.selected, after.archive_sha256) == (before.selected, before.archive_sha256)
    assert after.run_bytes < before.run_bytes

    kept = {"float.onnx.fp32", before.selected}
    losers = {row.report.name for row in before.candidates} - kept
    opened = open_run(cleaned)
    assert (set(opened.models), set(opened.removed)) == (kept, losers)
    target = open_target(cleaned, tmp_path)
    assert {one.name for one in target.files} == kept
    assert {what for what, why in target.left_out.items() if why == REMOVED} == losers

    planned = {one.stage: one.reason for one in plan(built.recipe, run_dir=cleaned, overrides=built.overrides)}
    assert planned["train"] == ""
    assert planned["candidates"].endswith(" was removed by `pipeline clean`")


@pytest.mark.slow
def test_a_build_makes_it_whole_again(
    built: Built, cleaned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    again = pipeline.build(built.recipe, run_dir=cleaned, model_store=tmp_path / "store", overrides=built.overrides)
    actions = {one.stage: one.action for one in again.stages}
    assert (actions["train"], actions["candidates"]) == ("up to date", "ran")
    assert open_run(cleaned).removed == ()
    names = [row.report.name for row in again.candidates]
    assert names == [row.report.name for row in built.result.candidates]
