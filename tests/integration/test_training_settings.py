"""What a recipe says of training holds from the file to the weights: it goes on, keeps the best, and refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import pipeline
from pipeline import cli
from pipeline.engine.stage import Silent
from pipeline.errors import FileError, UsageError
from tests.reporters import Lines

PARTS = """
import numpy as np
from torch import nn
from pipeline import DataSet, InputSpec

def net():
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3))

def points():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 2)).astype(np.float32)
    y = (x.sum(axis=1) > 0).astype(np.int64) + (x.sum(axis=1) > 2)
    spec = InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99)
    return DataSet.from_arrays("points", {"x": x}, y, classes=["low", "middle", "high"], specs=[spec])
"""
RECIPE = """
[model]
factory = "parts:net"
[data]
factory = "parts:points"
[train]
device = "cpu"
batch_size = 50
learning_rate = 0.1
"""
MUCH = """
epochs = 30
optimizer = "sgd"
momentum = 0.8
nesterov = false
schedule = "step"
warm_up = 0.5
accumulate = 2
clip_norm = 1.0
class_weights = "balanced"
loss = "bce-with-logits"
label_smoothing = 0.05
mixed_precision = "bf16"
ema_decay = 0.9
keep = "best"
activation_checkpointing = ["0", "2"]
[train.step]
every = 10
[train.early_stopping]
patience = 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path


def write(folder: Path, train: str, name: str = "recipe") -> Path:
    path = folder / f"{name}.toml"
    path.write_text(RECIPE + train)
    return path


class Cut(Silent):
    """Cuts a training in its fourth epoch."""

    def log(self, message: str) -> None:
        if message.startswith("train: epoch 3/"):
            raise KeyboardInterrupt


def test_more_epochs_go_on_from_the_last_where_the_schedule_does_not_span_the_run(folder: Path) -> None:
    recipe = write(folder, 'schedule = "constant"\n')
    whole = pipeline.train(recipe, run_dir=folder / "whole", overrides=["train.epochs=6"])
    pipeline.train(recipe, run_dir=folder / "run", overrides=["train.epochs=3"])
    said = Lines()
    more = pipeline.train(recipe, run_dir=folder / "run", overrides=["train.epochs=6"], reporter=said)
    assert said.said[1:3] == ["train: setting train.epochs changed", "train: continues after epoch 3 of 6"]
    assert more.weights_sha256 == whole.weights_sha256
    assert more.history.read_bytes() == whole.history.read_bytes()
    assert pipeline.train(recipe, run_dir=folder / "run", overrides=["train.epochs=6"]).stages[1].action == "up to date"


def test_more_epochs_start_anew_where_it_spans_the_run(folder: Path) -> None:
    recipe = write(folder, "")
    whole = pipeline.train(recipe, run_dir=folder / "whole", overrides=["train.epochs=4"])
    pipeline.train(recipe, run_dir=folder / "run", overrides=["train.epochs=2"])
    assert not list((folder / "run").rglob("epoch-*.kept")), "nothing could go on from them"
    said = Lines()
    more = pipeline.train(recipe, run_dir=folder / "run", overrides=["train.epochs=4"], reporter=said)
    assert said.said[2].startswith("train: starts anew for 4 epochs: the schedule one-cycle spans the whole run, so")
    assert more.weights_sha256 == whole.weights_sha256


def test_a_recipe_that_says_much_of_training_keeps_its_best_epoch_and_ends_early(folder: Path) -> None:
    recipe, said = write(folder, MUCH), Lines()
    result = pipeline.train(recipe, run_dir=folder / "run", reporter=said)
    history = json.loads(result.history.read_text())
    scores = [epoch["validation"]["accuracy"] for epoch in history["epochs"]]
    kept = history["kept"]["epoch"]
    assert (kept, len(scores)) == (scores.index(max(scores)) + 1, kept + 3)
    assert history["final"]["validation"] == history["epochs"][kept - 1]["validation"]
    assert max(scores) > 0.7
    assert f"train: ends after epoch {kept + 3} of 30: 3 epochs in a row brought no better metric on validation" in (
        said.said
    )
    assert any(
        line.startswith(f"train: epoch {kept} of {kept + 3} is kept, the best on validation by the accuracy")
        for line in said.said
    )
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "cut", reporter=Cut())
    assert pipeline.train(recipe, run_dir=folder / "cut").weights_sha256 == result.weights_sha256


def test_training_goes_on_from_a_checkpoint_that_is_named(folder: Path) -> None:
    recipe = write(folder, "epochs = 5\n")
    whole = pipeline.train(recipe, run_dir=folder / "whole")
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "cut", reporter=Cut())
    files = sorted((folder / "cut" / ".scratch").rglob("epoch-*.kept"))
    assert [file.name[:10] for file in files] == ["epoch-0002", "epoch-0003"]
    mine = Path(shutil.copy(files[0], folder / "mine.kept"))
    said = Lines()
    result = pipeline.train(recipe, run_dir=folder / "new", resume=mine, reporter=said)
    assert f"train: goes on from {mine}" in said.said
    assert f"train: continues after epoch 2 of 5, from {mine}" in said.said
    assert result.weights_sha256 == whole.weights_sha256
    again = pipeline.train(recipe, run_dir=folder / "cut", resume=files[0].parent)
    assert again.weights_sha256 == whole.weights_sha256


def test_the_command_takes_it_and_sets_the_exit_code(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = write(folder, 'epochs = 4\nschedule = "constant"\n')
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "cut", reporter=Cut())
    (scratch,) = (folder / "cut" / ".scratch").iterdir()
    command = ["train", str(recipe), "--run-dir", str(folder / "new"), "--resume"]
    assert cli._run([*command, str(scratch)]) == 0
    ended = capfd.readouterr()
    assert ended.out.strip() == str(folder / "new" / "train" / "weights.safetensors")
    assert "continues after epoch 3 of 4" in ended.err
    assert cli._run([*command, str(scratch), "--set", "train.batch_size=60"]) == 2
    assert "with train.batch_size = 60, found 50; give the recipe" in capfd.readouterr().err
    assert cli._run([*command, str(folder / "nowhere")]) == 3


def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_lost(folder: Path) -> None:
    recipe = write(folder, "epochs = 5\n")
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "cut", reporter=Cut())
    mine = next((folder / "cut" / ".scratch").rglob("epoch-0002*.kept"))
    with pytest.raises(UsageError, match=r"with train\.seed = 1, found 0; give the recipe that it was made with"):
        pipeline.train(recipe, run_dir=folder / "a", resume=mine, overrides=["train.seed=1"])
    with pytest.raises(UsageError, match=r"expected a checkpoint of 9 epochs, found one of 5: the schedule one-cycle"):
        pipeline.train(recipe, run_dir=folder / "a", resume=mine, overrides=["train.epochs=9"])
    with pytest.raises(UsageError, match="--force: expected one of them"):
        pipeline.train(recipe, run_dir=folder / "a", resume=mine, force=True)
    with pytest.raises(UsageError, match=r"expected train\.epochs of 1 or more, found 0"):
        pipeline.train(recipe, run_dir=folder / "a", resume=mine, overrides=["train.epochs=0"])
    with pytest.raises(FileError, match=r"--resume .*nowhere: expected a checkpoint of pipeline train, .* found none"):
        pipeline.train(recipe, run_dir=folder / "a", resume=folder / "nowhere")
    mine.write_bytes(mine.read_bytes()[:-1])
    with pytest.raises(FileError, match="found 1 damaged"):
        pipeline.train(recipe, run_dir=folder / "a", resume=mine)
    assert mine.exists(), "a file that the user names is not removed"


def test_how_many_checkpoints_are_kept_changes_no_key(folder: Path) -> None:
    recipe = write(folder, "epochs = 5\ncheckpoints = 4\n")
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "run", reporter=Cut())
    assert len(list((folder / "run").rglob("epoch-*.kept"))) == 3
    said = Lines()
    pipeline.train(recipe, run_dir=folder / "run", overrides=["train.checkpoints=1"], reporter=said)
    assert "train: continues after epoch 3 of 5" in said.said
    assert pipeline.train(recipe, run_dir=folder / "run").stages[1].action == "up to date"


LOSS = """
import json
from pathlib import Path
from torch import nn


def loss():
    weight = json.loads(Path(__file__).with_name("weight.json").read_text())
    return lambda outputs, labels: weight * nn.functional.cross_entropy(outputs, labels)
"""


def test_a_checkpoint_that_is_named_is_kept_where_other_files_changed(folder: Path) -> None:
    (folder / "my_loss.py").write_text(LOSS)
    (folder / "weight.json").write_text("1.0")
    recipe = write(folder, 'epochs = 5\nloss = "my_loss:loss"\n')
    with pytest.raises(KeyboardInterrupt):
        pipeline.train(recipe, run_dir=folder / "cut", reporter=Cut())
    mine = next((folder / "cut" / ".scratch").rglob("epoch-0002*.kept"))
    (folder / "weight.json").write_text("2.0")
    said = Lines()
    pipeline.train(recipe, run_dir=folder / "cut", resume=mine, reporter=said)
    assert f"train: continues after epoch 2 of 5, from {mine}" in said.said
