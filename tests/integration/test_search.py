"""The search on a real network: what it makes goes through parity and quality like everything else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pipeline
from pipeline.candidates.evaluate import evaluate_once, float_logits
from pipeline.candidates.report import CandidateReport
from pipeline.candidates.spec import FALLBACK, CandidateSpec, candidate_specs
from pipeline.candidates.unproven import Unproven, from_error
from pipeline.commands.verify_run import verify_run
from pipeline.engine.deadline import Deadline
from pipeline.engine.kept import write_kept
from pipeline.engine.manifest import read_manifest
from pipeline.errors import ProofError, UsageError
from pipeline.recipe.candidates import Candidates
from pipeline.recipe.limits import Budget, Measure
from pipeline.recipe.passes import FineTune
from pipeline.search.comparison import SpeedComparison
from pipeline.search.search import aim_for, search
from pipeline.search.strategy import EFFORTS, Effort
from tests.command_line import running
from tests.example_build import Built
from tests.example_candidates import context_of
from tests.reporters import Lines

GENEROUS = Budget(max_accuracy_drop=0.9, max_confident_flips=1.0)
# By size, so that no timing decides which networks are made.
FEW = (
    "candidates.variants=[]",
    'candidates.formats=["onnx"]',
    "search.effort=quick",
    "select.goal=size",
    "budget.max_accuracy_drop=0.9",
    "budget.max_confident_flips=1",
)
ROWS = """
import numpy as np
from torch import nn
from pipeline._handlers.decode import InputSpec
from pipeline import DataSet

def build():
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))

def load(path=None):
    raw = np.random.default_rng(0).normal(size=(400, 2)).astype(np.float32)
    spec = InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99)
    labels = (raw.sum(axis=1) > 0).astype(np.int64)
    return DataSet.from_arrays("plane", {"x": raw}, labels, classes=["a", "b"], specs=[spec])
"""


def searched(
    built: Built, folder: Path, said: Lines, limit_s: float, *, faulty: str | None = None, rows: list[str] | None = None
) -> list[CandidateReport]:
    deadline = Deadline(folder / "search-seconds", limit_s, said.log)
    context = replace(context_of(built, folder, said), limit=deadline)
    logits = float_logits(context.model, context.weights, context.validation)
    reports: list[CandidateReport] = []

    def make(spec: CandidateSpec) -> CandidateReport | Unproven:
        if spec.precision == faulty:
            return from_error(spec, ProofError("not the same"), context.scratch)
        found = evaluate_once(spec, context, float_logits=logits)
        assert isinstance(found, CandidateReport)
        reports.append(found)
        return found

    made = search(
        context,
        effort="quick",
        limits=GENEROUS,
        compared=4,
        tuning=FineTune(label_weight=0.6),
        baseline=next(one for one in candidate_specs(Candidates(variants=())) if one.name == FALLBACK),
        precisions=("fp32", "int8-dynamic", "int8-static", "bf16"),
        aim=replace(aim_for("size", Measure(), round_to=None), round_to=(4096, 8)),  # no layer has so many channels
        evaluate=make,
        comparison=SpeedComparison(context=context, goal="size", measure=Measure()),
        deadline=deadline,
    )
    assert [one.name for one in made.specs] == [one.name for one in reports]
    if rows is not None:
        rows += [f"{row.precision}: {row.verdict}: {row.reason}" for row in made.rows]
    return reports


def test_a_network_is_made_proven_and_judged(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EFFORTS, "quick", Effort(networks=1, epochs=1, first=0.3, resolution=2.0))
    said = Lines()
    reports = searched(built, tmp_path / "scratch", said, 600)
    assert [one.precision for one in reports] == ["fp32", "int8-dynamic", "int8-static", "bf16"]
    assert [one.format for one in reports] == ["onnx", "onnx", "onnx", "torchscript"]
    assert reports[3].parity.max_absolute == 0, "the file rounds where its module does"
    [variant] = {one.variant for one in reports}
    cost = float(variant.removeprefix("slim"))
    assert 15 < cost < 60, "the step of the ladder that is nearest to 30 %"
    whole = (built.run_dir / "candidates" / "float.onnx.fp32" / "model.onnx").stat().st_size
    assert all(one.size < whole for one in reports)
    assert all(one.parity.nearest <= one.parity.limit for one in reports)
    assert all(one.spec.identity == one.identity for one in reports)
    assert any(
        line.startswith(f"search: {variant}, {cost:.1f}% of the float network's cost: fp32") for line in said.said
    )
    assert said.said[-1].endswith("minutes: it makes no more of them")
    context = context_of(built, tmp_path / "scratch", said)
    comparison = SpeedComparison(context=context, goal="latency", measure=Measure(rounds=6))
    found = comparison.gains(reports[:1], reports[1:])
    monkeypatch.setattr("pipeline.search.comparison.measure_latency", None)
    assert comparison.gains(reports[:1], reports[1:]) is found, "timed once"


def test_what_is_not_the_same_is_a_row_and_without_float_nothing_else_of_a_network_is_tried(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EFFORTS, "quick", Effort(networks=1, epochs=1, first=0.3, resolution=2.0))
    said = Lines()
    rows: list[str] = []
    reports = searched(built, tmp_path / "scratch", said, 600, faulty="int8-static", rows=rows)
    assert [one.precision for one in reports] == ["fp32", "int8-dynamic", "bf16"]
    assert any(re.search(r"slim[\d.]+\.onnx\.int8-static: not proven: not the same$", line) for line in said.said)
    monkeypatch.setattr("pipeline.search.search.best_static_int8", None)  # a call of it raises
    assert searched(built, tmp_path / "scratch", said, 600, faulty="bf16", rows=rows) == reports[:2]
    assert searched(built, tmp_path / "scratch", said, 600, faulty="fp32", rows=rows) == []
    assert rows == [
        "int8-static: not proven: not the same",
        "int8-static: cannot be made: TypeError: 'NoneType' object is not callable",
        "bf16: not proven: not the same",
        "fp32: not proven: not the same",
    ]


def test_a_search_whose_time_is_over_counts_what_is_finished(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = Lines()
    assert searched(built, tmp_path / "none", said, 0.0) == []
    assert said.said[-1] == "search: ended after 0 networks and 0.0 minutes: its time is over"
    monkeypatch.setitem(EFFORTS, "quick", Effort(networks=1, epochs=1, first=0.3, resolution=1.1))
    first = searched(built, tmp_path / "scratch", said, 600)
    write_kept(tmp_path / "scratch" / "search-seconds", b"601")
    monkeypatch.setitem(EFFORTS, "quick", Effort(networks=2, epochs=1, first=0.3, resolution=1.1))
    again = searched(built, tmp_path / "scratch", said, 600)
    assert [one.identity for one in again] == [one.identity for one in first]
    assert said.said[-1].endswith(": its time is over")


@pytest.mark.slow
def test_a_search_that_runs_out_of_room_says_so_and_goes_on(built: Built, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(built.run_dir, run_dir)
    command = [sys.executable, "-m", "pipeline", "build", str(built.recipe), "--run-dir", str(run_dir), "--json"]
    command += [part for one in [*built.overrides, *FEW] for part in ("--set", one)]
    # The kernel refuses to let a file grow beyond the limit, in the middle of writing, as on a full disk.
    for limit in (10_000, 100_000):
        limited = ["prlimit", f"--fsize={limit}", *command]
        done = subprocess.run(limited, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 3, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.endswith("File too large; make room; it goes on from here when it is run again"), last
        manifest = read_manifest(run_dir)
        assert manifest is not None
        assert manifest.stages.keys() >= {"data", "train"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["selected"]


@pytest.mark.slow
def test_a_build_searches_and_goes_on_where_it_was_killed(built: Built, tmp_path: Path) -> None:
    shutil.copytree(built.run_dir, tmp_path / "run")
    shutil.copytree(built.run_dir, tmp_path / "whole")
    sets = [*built.overrides, *FEW]
    command = [sys.executable, "-m", "pipeline", "build", str(built.recipe), "--run-dir", str(tmp_path / "run")]
    command += [part for one in sets for part in ("--set", one)]
    with running(command, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("fine-tune slim") and "epoch 2/" in line:
                break
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"fine-tune slim[\d.]+: continues after epoch \d", done.stderr)
    assert "search: ended after " in done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["candidates"]}
    slim = {name for name in rows if name.startswith("slim")}
    assert len(slim) >= 3

    longer = subprocess.run(
        [*command, "--set", "search.max_minutes=9"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert longer.returncode == 0, longer.stderr
    assert "candidates: setting search.limit_s changed" in longer.stderr
    assert "fine-tune slim" not in longer.stderr, "what was trained is there"

    whole = pipeline.build(built.recipe, run_dir=tmp_path / "whole", model_store=tmp_path / "store", overrides=sets)
    assert whole.searched
    files = {row.report.name: row.report.sha256 for row in whole.candidates}
    assert files == {name: row["sha256"] for name, row in rows.items()}
    verified = verify_run(tmp_path / "whole")
    verified.require()
    assert {one.candidate for one in verified.candidates} == files.keys()


def test_a_search_cannot_shift_the_rows_of_a_table(tmp_path: Path) -> None:
    (tmp_path / "rows.py").write_text(ROWS)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nfactory = "rows:build"\n[data]\nfactory = "rows:load"\n[train]\nepochs = 1\n')
    with pytest.raises(UsageError, match=r"search\.shift: expected an input of shape \(C, H, W\), found x \(2,\); set"):
        pipeline.build(recipe, run_dir=tmp_path / "run", overrides=[*FEW, "search.shift=1"])
