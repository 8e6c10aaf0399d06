"""A recipe whose own code reads files: each is noticed when it changes, by a build, `--plan`, and after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from pipeline.engine.runner import Outcome, plan_stages, run_stages
from pipeline.engine.stage import Silent
from pipeline.errors import UsageError
from pipeline.recipe.loading import load_recipe
from pipeline.stages.data import STAGE as DATA_STAGE
from pipeline.stages.train import STAGE as TRAIN_STAGE

CHECKOUT = Path(__file__).parents[2]
STAGES = (DATA_STAGE, TRAIN_STAGE)
NETS = """
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from torch import nn

HERE = Path(__file__).parent


def build(mean=None, trunk=None):
    network = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2))
    if trunk:
        network[0].load_state_dict(load_file(trunk))
    else:
        network[0].load_state_dict(load_file(HERE / "trunk.safetensors"))
    return network


def loss():
    weight = np.load(HERE / "class_weights.npy")
    return nn.CrossEntropyLoss(weight=__import__("torch").from_numpy(weight))
"""
DATA = """
from pathlib import Path

import numpy as np
from pipeline import DataSet, InputSpec


def load(path, scale=""):
    points = np.load(path / "points.npy") * np.float32(np.loadtxt(Path(path).parent / "scale.txt"))
    spec = InputSpec(name="x", dtype="float32", shape=(2,), low=-100, high=100)
    return DataSet.from_arrays(
        "points", {"x": points}, (points[:, 0] > 0).astype(np.int64), classes=["left", "right"], specs=[spec]
    )
"""
RECIPE = """
name = "points"
[model]
factory = "nets:build"
[data]
factory = "points:load"
path = "points"
[train]
epochs = 2
loss = "nets:loss"
"""


def save_trunk(path: Path, value: float) -> None:
    save_file({"weight": np.full((4, 2), value, np.float32), "bias": np.zeros(4, np.float32)}, path)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "points").mkdir(parents=True)
    np.save(folder / "points" / "points.npy", np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32))
    (folder / "scale.txt").write_text("1")
    np.save(folder / "class_weights.npy", np.ones(2, np.float32))
    save_trunk(folder / "trunk.safetensors", 0.5)
    save_trunk(folder / "other.safetensors", 0.5)
    (folder / "nets.py").write_text(NETS)
    (folder / "points.py").write_text(DATA)
    (folder / "recipe.toml").write_text(RECIPE)
    return folder / "recipe.toml"


def _run(recipe: Path, *overrides: str) -> tuple[Outcome, ...]:
    loaded, run_dir = load_recipe(recipe, overrides), recipe.parent / "run"
    planned = plan_stages(STAGES, loaded, run_dir)
    _, outcomes = run_stages(STAGES, loaded, run_dir, Silent())
    would = ["up to date" if one.action == "up to date" else "would run" for one in outcomes]
    if planned[0].action == "up to date":  # else what comes after it is said to run
        assert [one.action for one in planned] == would
    return outcomes


def test_a_replaced_file_runs_the_stages_whose_code_read_it(recipe: Path) -> None:
    folder = recipe.parent
    _run(recipe)
    assert [one.action for one in _run(recipe)] == ["up to date", "up to date"]

    info = json.loads((folder / "run" / "train" / "model.json").read_bytes())
    assert list(info["files"]) == ["class_weights.npy", "trunk.safetensors"]  # what evidence will name
    before = load_file(folder / "run" / "train" / "weights.safetensors")
    save_trunk(folder / "trunk.safetensors", -2.0)  # opened in Rust
    outcomes = _run(recipe)
    assert [one.action for one in outcomes] == ["up to date", "ran"]
    assert outcomes[1].reason == "trunk.safetensors, which the recipe's code read, changed"
    after = load_file(folder / "run" / "train" / "weights.safetensors")
    assert not np.array_equal(before["0.weight"], after["0.weight"])

    np.save(folder / "class_weights.npy", np.array([1, 5], np.float32))  # of the loss
    assert [one.reason for one in _run(recipe)] == ["", "class_weights.npy, which the recipe's code read, changed"]

    (folder / "scale.txt").write_text("2")  # beside data.path
    outcomes = _run(recipe)
    assert [one.action for one in outcomes] == ["ran", "ran"]
    assert outcomes[0].reason == "scale.txt, which the recipe's code read, changed"


def test_a_path_among_the_arguments_counts_wherever_the_build_is_started(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside.safetensors"
    save_trunk(outside, 0.5)
    argument = f"model.arguments.trunk={outside}"
    _run(recipe, argument)
    monkeypatch.chdir(tmp_path)
    assert [one.action for one in _run(recipe, argument)] == ["up to date", "up to date"]
    save_trunk(outside, 1.5)
    outcomes = _run(recipe, argument)
    assert [one.action for one in outcomes] == ["up to date", "ran"]
    assert outcomes[1].reason == f"outside model.arguments.trunk {outside} changed"


KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pipeline.recipe.loading import load_recipe
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Silent
from pipeline.stages import data, train

class Deadly(Silent):
    def log(self, message):
        if message.startswith("train: epoch 1"):
            os.kill(os.getpid(), signal.SIGKILL)

run_stages((data.STAGE, train.STAGE), load_recipe(sys.argv[2]), Path(sys.argv[3]), Deadly())
"""


def test_a_killed_training_does_not_go_on_from_a_file_that_is_another_one_now(recipe: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(CHECKOUT), str(recipe), str(tmp_path / "parts")]
    assert subprocess.run(command, capture_output=True, timeout=300, check=False).returncode == -signal.SIGKILL
    assert list((tmp_path / "parts").rglob("epoch-*.kept"))
    save_trunk(recipe.parent / "trunk.safetensors", -2.0)
    for name in ("parts", "whole"):
        run_stages(STAGES, load_recipe(recipe), tmp_path / name, Silent())
    parts, whole = (tmp_path / name / "train" / "weights.safetensors" for name in ("parts", "whole"))
    assert parts.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            'candidates.variants=[{name="a", passes=[{kind="channel-pruning", layers={first=0.5}}]}]',
            r"variant 'a', channel-pruning: layers: .*\(0, 2\), found first",
        ),
        ("search.shift=1", r"search\.shift: expected an input of shape \(C, H, W\)"),
    ],
)
def test_what_the_network_cannot_have_is_refused_before_it_is_trained(recipe: Path, override: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _run(recipe, override)
    assert not list((recipe.parent / "run").rglob("epoch-*.kept"))
