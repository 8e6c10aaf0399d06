"""Faults in a source file, the user's or the product's own, end a build on the command line; the twin is `built`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.command_line import Finished, error_line
from tests.example_build import Built

ROOT = Path(__file__).resolve().parents[2]
# One candidate, from weights that are there: nothing is trained.
ONE = ("train.epochs=0", "model.weights=weights.safetensors", 'candidates.formats=["onnx"]', "candidates.variants=[]")
INT8 = 'candidates.variants=[{name="float", passes=[{kind="dynamic-int8"}]}]'
FEW = ("measure.rounds=6", "measure.block_ms=5", "verify.samples=32", "smoke.pictures=4")


def run(*arguments: str | Path, source: Path = ROOT) -> Finished:
    """The command line of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(source)}
    command = [sys.executable, "-P", "-m", "pipeline", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def build(recipe: Path, folder: Path, *overrides: str, source: Path = ROOT) -> Finished:
    sets = [part for one in overrides for part in ("--set", one)]
    where = ("--run-dir", folder / "run", "--model-store", folder / "store")
    return run("build", recipe, *where, *sets, source=source)


def edited(folder: Path, file: str, before: str, after: str) -> None:
    path = folder / file
    text = path.read_text()
    assert text.count(before) == 1, f"{file}: {before}"
    path.write_text(text.replace(before, after))


@dataclass(frozen=True, kw_only=True)
class NetworkFault:
    """One change of `my_nets.py`, and what is said of it."""

    before: str
    after: str
    says: tuple[str, ...]


NETWORK_FAULTS = {
    "dropout that is always on": NetworkFault(
        before="self.head(features.flatten(1))",
        after="self.head(nn.functional.dropout(features.flatten(1), 0.2))",
        says=(
            "the float network answers otherwise on a second call: at [",
            "; network (DigitNet): ",
            " apart, limit ",
            "; everything before it agrees; dropout and random numbers must be off in evaluation mode",
        ),
    ),
    "a forward that turns on training": NetworkFault(
        before="        features: Tensor = ",
        after="        self.body.train()\n        features: Tensor = ",
        says=("expected every layer in evaluation mode after a call, found body (Residual) in training mode; ",),
    ),
    "a batch norm that always uses the batch": NetworkFault(
        before="            nn.BatchNorm2d(channels),\n            nn.ReLU(),",
        after="            nn.BatchNorm2d(channels, track_running_stats=False),\n            nn.ReLU(),",
        says=(
            "the float network answers otherwise for an example alone than in a batch of 8: at [",
            "; body.inner.1 (BatchNorm2d): ",
            "; everything before it agrees; in evaluation mode nothing may depend on the rest of the batch",
        ),
    ),
}


# `tests/unit/verify/test_steady.py` has the others in small.
OFTEN = ("a batch norm that always uses the batch",)


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in NETWORK_FAULTS]
)
def test_a_network_that_is_no_function_of_its_input(built: Built, name: str, tmp_path: Path) -> None:
    fault = NETWORK_FAULTS[name]
    folder = tmp_path / "example"
    shutil.copytree(built.recipe.parent, folder)
    edited(folder, "my_nets.py", fault.before, fault.after)
    weights = load_file(built.run_dir / "train" / "weights.safetensors")
    if "track_running_stats=False" in fault.after:
        weights = {key: value for key, value in weights.items() if not key.startswith("body.inner.1.running")}
        weights.pop("body.inner.1.num_batches_tracked", None)
    save_file(weights, folder / "weights.safetensors")
    done = build(folder / "recipe.toml", tmp_path, *ONE, *FEW)
    assert done.returncode == 5, done.stderr
    line = error_line(done)
    for part in fault.says:
        assert part in line
    assert not (tmp_path / "store").exists()


def widened(built: Built, folder: Path, *, outlier: float) -> Path:
    """The example with one more input of its last layer, which is always 0: its weight alters no answer in float."""
    shutil.copytree(built.recipe.parent, folder)
    edited(folder, "my_nets.py", "nn.Linear(channels * 4 * 4, 10)", "nn.Linear(channels * 4 * 4 + 1, 10)")
    edited(folder, "my_nets.py", "features.flatten(1)", "nn.functional.pad(features.flatten(1), (0, 1))")
    weights = load_file(built.run_dir / "train" / "weights.safetensors")
    column = torch.full((10, 1), outlier)
    weights["head.weight"] = torch.cat([weights["head.weight"], column], dim=1).contiguous()
    save_file(weights, folder / "weights.safetensors")
    return folder / "recipe.toml"


@pytest.mark.slow
def test_an_int8_candidate_whose_scale_saturates(built: Built, tmp_path: Path) -> None:
    chosen = (*ONE[:-1], *FEW, INT8, "select.candidate=float.onnx.int8-dynamic")
    twin = build(widened(built, tmp_path / "example", outlier=0.0), tmp_path / "twin", *chosen)
    assert twin.returncode == 0, twin.stderr
    # The scale follows the largest weight: at 1e4, all the others are less than half a step.
    recipe = widened(built, tmp_path / "faulty", outlier=1e4)
    done = build(recipe, tmp_path, *chosen)
    assert done.returncode == 5, done.stderr
    assert "select.candidate float.onnx.int8-dynamic: over budget: expected a drop provably under 3.00" in error_line(
        done
    )
    assert not (tmp_path / "store").exists()
    # Its parity holds: the file is what the quantizer made. What costs the accuracy is named by layer.
    verified = run("verify", tmp_path / "run", "--rank", "--json")
    assert verified.returncode == 0, verified.stderr
    found = {one["candidate"]: one for one in json.loads(verified.stdout)["candidates"]}
    assert all(one["parity"]["passed"] for one in found.values())
    assert found["float.onnx.fp32"]["ranking"] is None
    [gain] = found["float.onnx.int8-dynamic"]["ranking"]["gains"]
    assert (gain["kind"], gain["layer"]) == ("dynamic-int8", "head")
    assert gain["accuracy"] > 0.5


@dataclass(frozen=True, kw_only=True)
class SourceFault:
    """One change of a source file of the product, and what is said of it."""

    file: str
    before: str
    after: str
    says: str


SOURCE_FAULTS = {
    "labels packed in another order": SourceFault(
        file="pipeline/stages/package.py",
        before="labels=info.labels",
        after="labels=tuple(reversed(info.labels))",
        says="serving.json: labels: expected 0 for class 0, as data set digits says, found 9; ",
    ),
    "another activation packed": SourceFault(
        file="pipeline/stages/package.py",
        before="activation=info.activation,\n        task_settings",
        after='activation="sigmoid",\n        task_settings',
        says="serving.json: activation: expected none, as the model says, found sigmoid; ",
    ),
    "another candidate's file packed": SourceFault(
        file="pipeline/stages/package.py",
        before="inputs.of_candidate(Kind.CANDIDATE_MODEL, winner.name)",
        after='inputs.of_candidate(Kind.CANDIDATE_MODEL, "float.onnx.int8-dynamic")',
        says="model.onnx: expected the file of candidate float.onnx.fp32 that was judged (SHA-256 ",
    ),
    "another resize filter in the decoder": SourceFault(
        file="handlers/decode.py",
        before='"bilinear": Image.Resampling.BILINEAR',
        after='"bilinear": Image.Resampling.NEAREST',
        says="input image, picture 0: expected the pixels packed with it, found ",
    ),
    "another resize filter packed": SourceFault(
        file="pipeline/stages/package.py",
        before="        inputs=info.inputs,\n        labels",
        after="        inputs=tuple(replace(spec, decoding=replace(spec.decoding, resize='nearest')) for spec in "
        "info.inputs),\n"
        "        labels",
        says="serving.json: input image: decoding: expected {'mode': 'L', 'resize': 'bilinear'}, as data set digits ",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SOURCE_FAULTS)
def test_the_product_at_fault_ends_the_build(built: Built, name: str, tmp_path: Path) -> None:
    fault = SOURCE_FAULTS[name]
    for package in ("pipeline", "handlers"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, symlinks=True, ignore=ignored)
    edited(tmp_path, fault.file, fault.before, fault.after)
    shutil.copytree(built.recipe.parent, tmp_path / "example")
    shutil.copy(built.run_dir / "train" / "weights.safetensors", tmp_path / "example")
    overrides = (*ONE[:-1], *FEW, INT8, "select.candidate=float.onnx.fp32")
    done = build(tmp_path / "example" / "recipe.toml", tmp_path, *overrides, source=tmp_path)
    assert done.returncode == 5, done.stderr
    assert fault.says in error_line(done)
    assert not (tmp_path / "store").exists()
