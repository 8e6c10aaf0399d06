"""Checkpoints through the stages `data` and `train`: what the log says, what is watched, what the evidence names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from pipeline.commands.build import plan
from pipeline.engine.artifacts import digest_file
from pipeline.engine.documents import read_document
from pipeline.engine.runner import run_stages
from pipeline.errors import DataError
from pipeline.models.info import ModelInfo
from pipeline.recipe.loading import load_recipe
from pipeline.stages.data import STAGE as DATA_STAGE
from pipeline.stages.train import STAGE as TRAIN_STAGE
from tests.checkpoints import build, lightning, shards
from tests.reporters import Lines

DATA = """
import numpy as np
from pipeline import DataSet, InputSpec


def load():
    draw = np.random.default_rng(0)
    labels = np.arange(600) % 3
    values = (np.eye(3, 8)[labels] * 3 + draw.normal(0, 0.5, (600, 8))).astype(np.float32)
    spec = InputSpec(name="values", dtype="float32", shape=(8,), low=-np.inf, high=np.inf)
    return DataSet.from_arrays("three", {"values": values}, labels, classes=["a", "b", "c"], specs=[spec])
"""
NETS = """
from torch import nn


def build():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
"""
RECIPE = """
[model]
factory = "my_nets:build"
weights = "net"
[data]
factory = "my_data:load"
[train]
epochs = 0
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, text in (("my_nets.py", NETS), ("my_data.py", DATA), ("recipe.toml", RECIPE)):
        (tmp_path / name).write_text(text)
    return tmp_path / "recipe.toml"


def run(recipe: Path, *overrides: str) -> list[str]:
    reporter = Lines()
    run_stages((DATA_STAGE, TRAIN_STAGE), load_recipe(recipe, overrides), recipe.parent / "run", reporter)
    return reporter.said


def test_the_log_says_what_was_left_out_and_converted(recipe: Path) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in build().state_dict().items()}
    torch.save(lightning(state), recipe.parent / "last.ckpt")
    lines = run(recipe, "model.weights=last.ckpt")
    assert "train: weights last.ckpt: took the tensors behind state_dict.net.; left out: loss.weight" in lines
    assert "train: weights last.ckpt: 8 tensors of float16 became float32" in lines
    loaded = load_file(recipe.parent / "run" / "train" / "weights.safetensors")
    assert all(torch.equal(value.to(loaded[key].dtype), loaded[key]) for key, value in state.items())


def test_each_of_several_files_reruns_the_training_and_is_named(recipe: Path) -> None:
    folder = shards(recipe.parent / "net", build().state_dict()).parent
    run(recipe)
    assert plan(recipe, run_dir=recipe.parent / "run")[1].action == "up to date"
    info = read_document(recipe.parent / "run" / "train" / "model.json", ModelInfo)
    names = [path.name for path in folder.iterdir() if path.name != "config.json"]
    assert info.files == {f"model.weights {name}": digest_file(folder / name) for name in sorted(names)}
    shards(recipe.parent / "net", {key: value + 1 for key, value in build().state_dict().items()})
    second = "model-00002-of-00002.safetensors"
    planned = plan(recipe, run_dir=recipe.parent / "run")[1]
    assert planned.action == "would run"
    assert planned.reason == "outside model.weights model-00001-of-00002.safetensors changed and 1 more"
    (folder / second).unlink()
    with pytest.raises(DataError, match=f"expected its 2 files in the same folder, found no {second}"):
        plan(recipe, run_dir=recipe.parent / "run")
