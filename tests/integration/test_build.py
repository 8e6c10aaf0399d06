"""A whole build of the worked example: what comes out, what runs again, what an interruption costs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pytest

import pipeline
from pipeline.archive.evidence.forms import Form
from pipeline.archive.mar import read_archive
from pipeline.candidates.spec import candidate_specs
from pipeline.commands.build import plan
from pipeline.commands.evidence import evidence
from pipeline.commands.report import report
from pipeline.engine.artifacts import digest_file
from pipeline.engine.manifest import read_manifest
from pipeline.errors import ProofError, StageError, UsageError
from pipeline.measure.host import computes_bfloat16
from pipeline.recipe.loading import load_recipe
from tests.example_build import QUICK, Built

STAGES = ["data", "train", "candidates", "select", "package", "smoke"]


def would_run(built: Built, *overrides: str) -> list[str]:
    outcomes = plan(built.recipe, run_dir=built.run_dir, overrides=[*built.overrides, *overrides])
    return [outcome.stage for outcome in outcomes if outcome.action == "would run"]


def test_every_candidate_has_a_row_with_figures(built: Built) -> None:
    result = built.result
    names = [row.report.name for row in result.candidates]
    assert names == [spec.name for spec in candidate_specs(load_recipe(built.recipe).candidates)]
    assert len(names) == (10 if computes_bfloat16() else 9)
    assert not result.searched
    for row in result.candidates:
        report = row.report
        assert report.parity.nearest <= report.parity.limit
        assert report.quality.examples == 539
        assert [timing.batch_size for timing in report.timings] == [1, 32]
        assert report.lossy is (report.variant != "float" or report.precision != "fp32")
        assert report.parity.batch_invariant is (report.precision != "int8-dynamic")
        model = built.run_dir / "candidates" / report.name / report.runtime.file
        assert digest_file(model) == report.sha256
    assert [row.report.name for row in result.candidates if row.selected] == [result.selected]


def test_pruned_candidates_really_hold_zeros(built: Built) -> None:
    pruned = next(row.report for row in built.result.candidates if row.report.name == "pruned30.onnx.fp32")
    assert pruned.passes[0].sparsity == pytest.approx(0.3, abs=0.01)


def test_eager_is_timed_in_the_same_rounds_and_is_no_candidate(built: Built) -> None:
    result = built.result
    assert [timing.batch_size for timing in result.eager.timings] == [1, 32]
    assert all(len(timing.rounds_ms) == 6 for timing in result.eager.timings)
    assert all(timing.layout in ("NCHW", "channels-last") for timing in result.eager.timings)
    for row in result.candidates:
        assert row.report.name != "eager"
        assert [one.batch_size for one in row.speed] == [1, 32]
        for one in row.speed:
            assert 0 < one.over_eager.low <= one.over_eager.value <= one.over_eager.high
            assert (one.over_float.value == 1) is (row.report.name == "float.onnx.fp32")


def test_the_trade_off_is_drawn_and_report_draws_it_again(built: Built) -> None:
    pictures = [built.run_dir / name for name in ("pareto.png", "pareto.svg")]
    before = [path.read_bytes() for path in pictures]
    assert before[0].startswith(b"\x89PNG")
    assert built.result.selected.encode() in before[1]
    for path in pictures:
        path.unlink()
    report(built.run_dir, model_store=built.model_store)
    assert [path.read_bytes() for path in pictures] == before
    fronts = built.result.fronts()
    assert any("latency" in costs for costs in fronts.values())
    assert any("size" in costs for costs in fronts.values())
    document = built.result.to_json()
    assert all(set(row["front"]) <= {"latency", "size"} for row in document["candidates"])


def test_the_archive_holds_the_winner(built: Built) -> None:
    archive = read_archive(built.result.archive)
    assert built.result.archive == built.model_store / "digits.mar"
    assert archive.serving.candidate == built.result.selected
    assert archive.sha256 == built.result.archive_sha256 == digest_file(built.result.archive)
    assert archive.serving.labels == tuple("0123456789")


def test_its_evidence_is_told_in_every_form(built: Built) -> None:
    quality = built.result.test
    for form in get_args(Form):
        assert built.result.selected in str(evidence(built.result.archive, form=form))
    low, high = quality.interval_lower * 100, quality.interval_upper * 100
    said = f"{quality.drop * 100:+.2f} points ({low:+.2f} to {high:+.2f})"
    assert said in str(evidence(built.result.archive, form="markdown"))


def test_the_server_was_asked_and_answered_the_same(built: Built) -> None:
    smoke = json.loads((built.run_dir / "smoke" / "smoke.json").read_text())
    assert smoke["posted"] == 4
    assert smoke["content_type"] == "image/png"
    assert smoke["comparison"]["passed"] is True


def test_result_is_plain_json(built: Built) -> None:
    document = json.loads(json.dumps(built.result.to_json()))
    assert document["selected"] == built.result.selected
    assert len(document["candidates"]) == len(built.result.candidates)


def test_report_reads_the_same_again(built: Built) -> None:
    again = report(built.run_dir, model_store=built.model_store)
    assert again.candidates == built.result.candidates
    assert again.selected == built.result.selected
    assert again.archive == built.result.archive


def test_a_second_build_runs_nothing(built: Built) -> None:
    result = pipeline.build(
        built.recipe, run_dir=built.run_dir, model_store=built.model_store, overrides=built.overrides
    )
    assert [(one.stage, one.action) for one in result.stages] == [(name, "up to date") for name in STAGES]
    assert result.archive_sha256 == built.result.archive_sha256


def test_a_second_build_loads_no_torch_and_draws_what_is_missing(built: Built) -> None:
    drawn = built.run_dir / "pareto.png"
    program = """
import sys
import pipeline
recipe, run_dir, store, *overrides = sys.argv[1:]
pipeline.build(recipe, run_dir=run_dir, model_store=store, overrides=overrides)
print(*[name for name in ("torch", "onnxruntime", "matplotlib") if name in sys.modules])
"""
    command = [sys.executable, "-c", program, built.recipe, built.run_dir, built.model_store, *built.overrides]
    for missing, loaded in ((False, ""), (True, "matplotlib")):
        if missing:
            drawn.unlink()
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        assert done.stdout.strip() == loaded
    assert drawn.read_bytes().startswith(b"\x89PNG")


# One key of each section, and the stages that depend on it.
@pytest.mark.parametrize(
    ("override", "first"),
    [
        ("data.arguments.seed=1", "data"),
        ("model.arguments.channels=16", "train"),
        ("train.epochs=4", "train"),
        ("candidates.pruning_amount=0.5", "candidates"),
        ("export.opset=19", "candidates"),
        ("verify.samples=48", "candidates"),
        ("verify.reference_evaluator_macs=0", "candidates"),
        ("candidates.allow_batch_variant=true", "candidates"),
        ("measure.rounds=7", "candidates"),
        ("search.effort=quick", "candidates"),
        ("budget.max_accuracy_drop=0.02", "select"),
        ("budget.max_confident_flips=0.002", "select"),
        ("select.goal=size", "select"),
        ("package.version=2.0", "package"),
        ("smoke.pictures=5", "smoke"),
    ],
)
def test_a_changed_setting_runs_only_what_depends_on_it(built: Built, override: str, first: str) -> None:
    assert would_run(built, override) == STAGES[STAGES.index(first) :]


def test_a_longer_wait_for_the_server_runs_nothing(built: Built) -> None:
    assert would_run(built, "smoke.timeout_s=60") == []


@pytest.mark.parametrize(("file", "first"), [("my_nets.py", "train"), ("my_data.py", "data")])
def test_a_changed_factory_is_noticed(built: Built, tmp_path: Path, file: str, first: str) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(built.recipe.parent, folder)
    moved = Built(**{**vars(built), "recipe": folder / "recipe.toml"})
    assert would_run(moved) == [], "another place alone changes nothing"
    source = folder / file
    source.write_text(source.read_text() + "\n# edited\n")
    assert would_run(moved) == STAGES[STAGES.index(first) :]


def test_changed_data_behind_the_same_factory_are_noticed(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "moved"
    shutil.copytree(built.recipe.parent, folder)
    # Nothing declares the file that this factory reads.
    source = folder / "my_data.py"
    source.write_text(
        source.read_text().replace("digits.images * (255 / 16)", "digits.images * FACTOR")
        + "\nfrom pathlib import Path\n\nFACTOR = float((Path(__file__).parent / 'factor.txt').read_text())\n"
    )

    def digests(factor: float) -> Mapping[str, str]:
        (folder / "factor.txt").write_text(str(factor))
        program = (
            "import json, sys; from pipeline.stages.data import STAGE\n"
            "from pipeline.recipe.loading import load_recipe\n"
            "print(json.dumps(STAGE.outside(STAGE.settings(load_recipe(sys.argv[1])))))"
        )
        command = [sys.executable, "-c", program, str(folder / "recipe.toml")]
        found: dict[str, str] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return found

    before, after = digests(255 / 16), digests(15)
    assert {name for name in before if before[name] != after[name]} == {"data"}
    assert digests(255 / 16) == before


def test_named_candidate_is_packed_whatever_is_fastest(built: Built, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(built.run_dir, run_dir)
    overrides = [*built.overrides, "select.candidate=float.torchscript.fp32"]
    result = pipeline.build(built.recipe, run_dir=run_dir, model_store=tmp_path, overrides=overrides)
    assert result.selected == "float.torchscript.fp32"
    assert read_archive(result.archive).serving.runtime.kind == "torchscript"


def test_named_candidate_over_its_budget_ends_the_build_without_an_archive(built: Built, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(built.run_dir, run_dir)
    overrides = [
        *built.overrides,
        "select.candidate=pruned30.onnx.fp32",
        "budget.max_accuracy_drop=0.00001",
    ]
    with pytest.raises(ProofError, match=r"select.candidate pruned30.onnx.fp32: .* provably under 0.00 points"):
        pipeline.build(built.recipe, run_dir=run_dir, model_store=tmp_path / "store", overrides=overrides)
    assert not (tmp_path / "store").exists()


def test_unknown_candidate_is_refused_before_any_work(built: Built, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"select.candidate: expected one of float.torchscript.fp32"):
        pipeline.build(built.recipe, run_dir=tmp_path / "run", overrides=["select.candidate=fast"])
    assert not (tmp_path / "run").exists()


def test_a_network_that_answers_differently_each_time_ends_the_build(built: Built, tmp_path: Path) -> None:
    folder = tmp_path / "noisy"
    shutil.copytree(built.recipe.parent, folder)
    nets = folder / "my_nets.py"
    nets.write_text(
        nets.read_text()
        .replace("from torch import Tensor, nn", "import torch\nfrom torch import Tensor, nn")
        .replace("self.head(features.flatten(1))", "self.head(features.flatten(1) + torch.rand(1))")
    )
    overrides = [*built.overrides, 'candidates.formats=["onnx"]', "candidates.variants=[]"]
    # The noise is added in the network's own forward, behind all the layers that agree.
    unsteady = (
        r"the float network answers otherwise on a second call: at .*; network \(DigitNet\): .* apart, .*; "
        r"everything before it agrees; dropout and random numbers must be off in evaluation mode"
    )
    with pytest.raises(ProofError, match=unsteady):
        pipeline.build(
            folder / "recipe.toml", run_dir=tmp_path / "run", model_store=tmp_path / "store", overrides=overrides
        )
    assert not (tmp_path / "store").exists()
    manifest = read_manifest(tmp_path / "run")
    assert manifest is not None
    assert list(manifest.stages) == ["data", "train"]


def start(recipe: Path, run_dir: Path, store: Path, *overrides: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline", "build"]
    sets = [part for one in overrides for part in ("--set", one)]
    return subprocess.Popen(
        [*command, str(recipe), "--run-dir", str(run_dir), "--model-store", str(store), *sets],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=store.parent,
        start_new_session=True,
    )


@pytest.mark.slow
def test_killed_in_every_stage_it_ends_with_the_same_weights_and_archive(built: Built, tmp_path: Path) -> None:
    chosen = "select.candidate=float.onnx.fp32"
    few = ('candidates.formats=["onnx"]', 'candidates.variants=[{name="float",passes=[{kind="dynamic-int8"}]}]')
    overrides = (*QUICK, *few, chosen)
    run_dir, store = tmp_path / "run", tmp_path / "store"
    # At the start of a stage, and in the middle of the longer ones: an epoch, two candidates, a server.
    moments = [
        "data: not",
        "train: not",
        "train: epoch 2",
        "candidates: float.onnx.fp32",
        "select: ",
        "package: ",
        "smoke: ",
    ]
    for moment in moments:
        process = start(built.recipe, run_dir, store, *overrides)
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith(moment):
                break
        else:
            pytest.fail(f"the build ended before it said: {moment}")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    result = pipeline.build(built.recipe, run_dir=run_dir, model_store=store, overrides=overrides)
    same = tmp_path / "same"
    whole = pipeline.build(built.recipe, run_dir=same, model_store=tmp_path / "other", overrides=overrides)
    assert digest_file(run_dir / "train" / "weights.safetensors") == digest_file(same / "train" / "weights.safetensors")
    assert result.archive_sha256 == whole.archive_sha256
    assert not list(run_dir.glob(".*.tmp"))


def test_two_builds_at_once_in_one_directory(built: Built, tmp_path: Path) -> None:
    run_dir, store = tmp_path / "run", tmp_path / "store"
    process = start(built.recipe, run_dir, store, *QUICK)
    assert process.stderr is not None
    try:
        process.stderr.readline()  # it holds the directory before it says anything
        with pytest.raises(StageError, match="another build is running there; wait for it to end"):
            pipeline.build(built.recipe, run_dir=run_dir, model_store=store, overrides=QUICK)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
