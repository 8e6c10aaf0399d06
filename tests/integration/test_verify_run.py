"""A run directory checked again: intact, and with faults planted in its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipeline.commands.verify_run import verify_run
from pipeline.engine.manifest import read_manifest, write_manifest
from pipeline.errors import FileError
from pipeline.export.torchscript import export_torchscript
from pipeline.recipe.loading import load_recipe
from tests.example_build import Built, record_anew
from tests.example_candidates import context_of
from tests.onnx_files import change_initializer, freeze_batch
from tests.reporters import Lines


@pytest.fixture
def run_dir(built: Built, tmp_path: Path) -> Path:
    copied = tmp_path / "run"
    shutil.copytree(built.run_dir, copied)
    return copied


def let_report_say(run_dir: Path, candidate: str, *, lost: int, confident_flips: int) -> None:
    """Let a candidate have lost so many of the 539 right answers, and gained none."""
    file = run_dir / "candidates" / candidate / "report.json"
    document = json.loads(file.read_text())
    document["quality"] |= {"lost": lost, "gained": 0, "drop": lost / 539, "confident_flips": confident_flips}
    file.write_text(json.dumps(document))
    record_anew(run_dir, file)


def write_faulty_torchscript(built: Built, file: Path, scratch: Path) -> None:
    """The float network exported with a batch norm that has another running mean."""
    context = context_of(built, scratch, Lines())
    module = context.deployable()
    with torch.no_grad():
        dict(module.named_buffers())["network.body.inner.1.running_mean"].add_(0.5)
    export_torchscript(module, file, example=context.example())


def test_planted_faults_go_through_the_command_line(built: Built, run_dir: Path, tmp_path: Path) -> None:
    candidates = run_dir / "candidates"
    change_initializer(candidates / "float.onnx.fp32" / "model.onnx", "network.head.bias", 0.5)
    change_initializer(candidates / "pruned30.onnx.fp32" / "model.onnx", "preprocess.offset", 0.2)
    change_initializer(candidates / "float.onnx.int8-dynamic" / "model.onnx", "network.head.bias", 0.5)
    freeze_batch(candidates / "pruned30.onnx.int8-dynamic" / "model.onnx")
    faulty = candidates / "float.torchscript.fp32" / "model.pt"
    write_faulty_torchscript(built, faulty, tmp_path)
    record_anew(run_dir, faulty)
    unknown = candidates / "pruned30.torchscript.fp32" / "model.pt"
    unknown.write_bytes(unknown.read_bytes() + b"\0")

    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "verify", str(run_dir), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5, done.stderr
    (line,) = [one for one in done.stderr.splitlines() if one.startswith("error: ")]
    # The first one in the recipe's order.
    assert line.startswith("error: float.torchscript.fp32: parity with its torch module failed on ")
    assert "; body.inner.0 (Conv2d) with body.inner.1 (BatchNorm2d) folded into it: " in line
    assert line.endswith("; its folded bias differs; everything before it agrees")

    found = {one["candidate"]: one for one in json.loads(done.stdout)["candidates"]}
    bias = found["float.onnx.fp32"]
    assert (bias["altered"], bias["parity"]["passed"]) == (True, False)
    assert (bias["layer"]["layer"], bias["layer"]["constants"]) == ("head (Linear)", ["bias"])
    offset = found["pruned30.onnx.fp32"]["layer"]
    assert (offset["layer"], offset["constants"]) == ("preprocess (Affine)", ["offset"])
    assert found["pruned30.torchscript.fp32"]["parity"] is None, "a file that the build did not make is not loaded"
    quantized = found["float.onnx.int8-dynamic"]
    assert (quantized["altered"], quantized["parity"]["reference"]) == (True, "the file that the build made")
    assert quantized["layer"]["layer"].startswith("head")
    assert quantized["layer"]["constants"] == ["bias"]
    frozen = found["pruned30.onnx.int8-dynamic"]
    assert frozen["parity"]["passed"] is False
    assert "cannot be replayed" in frozen["parity"]["error"]
    assert "batch size 2, run real" in frozen["parity"]["error"]
    twins = [name for name in found if name.endswith("torchscript.int8-dynamic")]
    assert len(twins) == 2
    assert all(found[name]["parity"]["passed"] and not found[name]["altered"] for name in twins)


@pytest.mark.slow
def test_an_intact_run_passes_and_layers_of_a_candidate_over_budget_are_ranked(run_dir: Path) -> None:
    order = json.loads((run_dir / "candidates" / "order.json").read_text())["order"]
    over = ("pruned30.torchscript.fp32", "pruned30.onnx.int8-dynamic", "float.torchscript.int8-dynamic")
    for name in order:
        # With every answer lost the drop is over any budget; with none, only the confident flips are over theirs.
        let_report_say(run_dir, name, lost=539 if name in over else 0, confident_flips=5)

    found = verify_run(run_dir, rank=True, ranking_examples=64)
    found.require()
    assert [one.candidate for one in found.candidates] == order
    verdicts = {one.candidate: one.verdict.text for one in found.candidates if one.verdict is not None}
    assert {verdicts.pop(name) for name in over} == {"over budget"}
    assert set(verdicts.values()) == {"lossless", "too many confident flips"}
    assert all(one.ranking is None for one in verify_run(run_dir).candidates), "nobody asked for it"
    rankings = {one.candidate: one.ranking for one in found.candidates if one.ranking is not None}
    assert set(rankings) == set(over)
    layers = {"stem.0", "body.inner.0", "body.inner.3", "head"}
    expected = {
        "pruned30.torchscript.fp32": {("magnitude-pruning", one) for one in layers},
        "pruned30.onnx.int8-dynamic": {("magnitude-pruning", one) for one in layers} | {("dynamic-int8", "head")},
        "float.torchscript.int8-dynamic": {("dynamic-int8", "head")},
    }
    for name, ranking in rankings.items():
        assert ranking.examples == 64
        assert ranking.left_out == 0
        assert {(one.kind, one.layer) for one in ranking.gains} == expected[name]
        assert list(ranking.gains) == sorted(ranking.gains, key=lambda one: (-one.accuracy, -one.divergence))
    # All that was quantized is left in float: nothing of the divergence is left.
    (only,) = rankings["float.torchscript.int8-dynamic"].gains
    assert only.divergence == pytest.approx(rankings["float.torchscript.int8-dynamic"].divergence, rel=1e-3)
    assert max(one.divergence for one in rankings["pruned30.torchscript.fp32"].gains) > 0


def test_what_candidates_are_held_against_must_be_the_builds_own(built: Built, run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"expected a run directory of pipeline build, found no manifest\.json in it"):
        verify_run(tmp_path)
    manifest = read_manifest(run_dir)
    assert manifest is not None
    assert load_recipe(built.recipe, built.overrides).given() == manifest.settings
    assert Path(manifest.folder) == built.recipe.parent

    changed = {**manifest.settings, "export": {"opset": 19}}
    write_manifest(run_dir, manifest.model_copy(update={"settings": changed}))
    with pytest.raises(FileError, match=r"candidates are those of an earlier build: setting export\.opset changed"):
        verify_run(run_dir)

    folder = tmp_path / "edited"
    shutil.copytree(built.recipe.parent, folder)
    nets = folder / "my_nets.py"
    nets.write_text(nets.read_text() + "\n# edited\n")
    write_manifest(run_dir, manifest.model_copy(update={"folder": str(folder)}))
    with pytest.raises(FileError, match=r"model\.factory my_nets\S* changed since the build; run pipeline build"):
        verify_run(run_dir)

    unfinished = {name: one for name, one in manifest.stages.items() if name in ("data", "train")}
    write_manifest(run_dir, manifest.model_copy(update={"stages": unfinished}))
    with pytest.raises(FileError, match=r"expected finished candidates, found none; run pipeline build first"):
        verify_run(run_dir)

    write_manifest(run_dir, manifest)
    weights = run_dir / "train" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(FileError, match=r"weights\.safetensors: expected the file that the build recorded"):
        verify_run(run_dir)
