"""An ensemble's members are what training alone makes of their seeds, and it goes on where it was interrupted."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import pipeline
from pipeline.commands.verify_archive import ArchiveVerification
from pipeline.engine.stage import Silent
from pipeline.errors import UsageError
from tests.reporters import Lines

PAGE = (Path(__file__).parents[2] / "docs" / "own-model.md").read_text(encoding="utf-8")
RECIPE = re.findall(r"^```toml ensemble.toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)[0]
SHORT = ("train.epochs=2",)
CUT, TUNE = '{ kind = "channel-pruning", keep = 0.6 }', '{ kind = "fine-tune", epochs = 1 }'


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "ensemble.toml").write_text(RECIPE)
    return tmp_path / "ensemble.toml"


def test_members_are_what_training_alone_makes_of_their_seeds(recipe: Path) -> None:
    folder, told = recipe.parent, Lines()
    whole = pipeline.train(recipe, run_dir=folder / "run", overrides=SHORT, reporter=told)
    tensors = load_file(whole.weights)
    files = []
    for number, seed in enumerate((1, 2, 3)):
        alone = pipeline.train(
            "mlp-50-30-20-3", run_dir=folder / str(seed), overrides=(*SHORT, f"train.seed={seed}")
        ).weights
        expected = {f"members.{number}.{key}": value for key, value in load_file(alone).items()}
        assert all(torch.equal(value, tensors[key]) for key, value in expected.items())
        files.append(alone)
    assert len(tensors) == 3 * len(load_file(files[0]))
    assert "train: member 2, from seed 2" in told.said
    history = json.loads(whole.history.read_text())
    assert len(history["epochs"]) == 2
    single = [json.loads((folder / str(seed) / "train" / "history.json").read_text()) for seed in (1, 2, 3)]
    mean = sum(one["epochs"][1]["validation"]["loss"] for one in single) / 3
    assert history["epochs"][1]["validation"]["loss"] == pytest.approx(mean)

    of_files = (
        f"model.ensemble={{weights={json.dumps([str(file) for file in files])}}}",
        "train.epochs=0",
    )
    again = pipeline.train(recipe, run_dir=folder / "files", overrides=of_files)
    assert again.weights.read_bytes() == whole.weights.read_bytes()
    assert json.loads(again.history.read_text())["final"] == history["final"]


class Interrupted(Silent):
    """Ends the training of the second member after its first epoch, as Ctrl-C does."""

    def __init__(self) -> None:
        self.member = ""

    def log(self, message: str) -> None:
        if message.startswith("train: member"):
            self.member = message
        if "epoch 1/2" in message and "member 2" in self.member:
            raise KeyboardInterrupt


def test_an_interrupted_ensemble_goes_on_with_the_member_that_it_was_at(recipe: Path) -> None:
    folder, told = recipe.parent, Lines()
    whole = pipeline.train(recipe, run_dir=folder / "whole", overrides=SHORT)
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "parts", overrides=SHORT, reporter=Interrupted())
    parts = pipeline.train(recipe, run_dir=folder / "parts", overrides=SHORT, reporter=told)
    assert [line for line in told.said if "continues after" in line] == [
        "train: continues after epoch 2 of 2",
        "train: continues after epoch 1 of 2",
    ]
    for name in ("weights.safetensors", "history.json", "learning_curves.png"):
        assert (parts.weights.parent / name).read_bytes() == (whole.weights.parent / name).read_bytes()
    assert not list((folder / "parts").rglob("member-*"))


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("model.ensemble={seeds=[1]}", "model.ensemble: seeds: expected two or more different members, found 1"),
        ("model.ensemble={seeds=[1,1]}", "expected two or more different members, found 1, 1"),
        ("model.ensemble={}", "model.ensemble: expected exactly one of seeds, weights"),
        ("train.epochs=0", "model.ensemble.seeds with train.epochs = 0: expected training|expected weights"),
        ("model.ensemble={weights=['a','b']}", "model.ensemble.weights with train.epochs = 10: expected 0"),
    ],
)
def test_what_a_recipe_gets_wrong(recipe: Path, override: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        pipeline.train(recipe, run_dir=recipe.parent / "run", overrides=(override,))


@pytest.mark.slow
def test_an_ensemble_is_proven_packed_and_served(recipe: Path) -> None:
    overrides = (
        "train.epochs=3",
        f'candidates.variants=[{{ name = "slim", passes = [{CUT}, {TUNE}] }}]',
        'candidates.formats=["onnx", "torchscript"]',
        "measure.rounds=6",
        "measure.block_ms=5",
        "verify.samples=32",
        "budget.max_accuracy_drop=0.2",
    )
    folder = recipe.parent
    built = pipeline.build(recipe, run_dir=folder / "run", model_store=folder / "store", overrides=overrides)
    names = {row.report.name for row in built.candidates}
    assert {"float.onnx.fp32", "float.torchscript.fp32", "slim.onnx.fp32"} <= names
    proven = pipeline.verify(built.archive)
    assert isinstance(proven, ArchiveVerification)
    assert proven.sha256 == built.archive_sha256


SINGLE = """
from torch import nn


def build():
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
"""


def test_members_with_one_output_for_two_classes(tmp_path: Path) -> None:
    (tmp_path / "single.py").write_text(SINGLE)
    (tmp_path / "single.toml").write_text(
        '[model]\nfactory = "single:build"\nensemble = { seeds = [1, 2] }\n[data]\nname = "blobs"\n'
        '[train]\nepochs = 60\nlearning_rate = 0.05\nkeep = "best"\nmonitor = "loss"\n'
    )
    told = Lines()
    trained = pipeline.train(
        tmp_path / "single.toml", run_dir=tmp_path / "run", overrides=("data.name=toy",), reporter=told
    )
    assert json.loads((tmp_path / "run" / "train" / "model.json").read_text())["single_output"] is True
    assert json.loads(trained.history.read_text())["final"]["validation"]["accuracy"] == 1.0
    kept = [line for line in told.said if "is kept, the best on validation by the loss" in line]
    assert [line.partition(" of member ")[2][0] for line in kept] == ["1", "2"]
    epochs = [int(line.split()[2]) for line in kept]
    assert json.loads(trained.history.read_text())["kept"] == {"epochs": epochs, "chosen_by": "validation"}
