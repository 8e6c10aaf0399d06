"""A fault of the user's own code ends the stage that meets it in one line, before any training or long after."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engine.runner import run_stages
from pipeline.errors import DataError, PipelineError, UsageError
from pipeline.recipe.loading import load_recipe
from pipeline.stages.data import STAGE as DATA_STAGE
from pipeline.stages.train import STAGE as TRAIN_STAGE
from tests.reporters import Lines

DATA = """
import numpy as np
from pipeline import DataSet, InputSpec

def load(target="classes"):
    draw = np.random.default_rng(0)
    labels = np.arange(200) % 2
    values = (draw.normal(0, 1, (200, 1, 6, 6)) + labels[:, None, None, None]).astype(np.float32)
    spec = InputSpec(name="image", dtype="float32", shape=(1, 6, 6), low=-np.inf, high=np.inf)
    targets = {"classes": labels, "regression": labels * 0.3}[target]
    return DataSet.from_arrays("t", {"image": values}, targets, classes=["a", "b"], specs=[spec])
"""
NETS = """
import torch
from torch import nn
from pipeline import InputSpec, ModelSpec

class Net(nn.Module):
    def __init__(self, ending, outputs):
        super().__init__()
        self.convolution, self.head = nn.Conv2d(1, 2, 3), nn.Linear(32, outputs)
        self.ending, self.calls = ending, 0

    def forward(self, images):
        self.calls += 1
        if self.ending == "late" and self.calls > 12:
            raise ValueError("no more calls")
        logits = self.head(self.convolution(images).view(-1, 32))
        return {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid()}.get(self.ending, logits)

def build(ending="logits", outputs=2):
    return Net(ending, outputs)

def late_loss():
    calls = []
    def loss(outputs, labels):
        calls.append(1)
        if len(calls) > 5:
            raise ZeroDivisionError("sixth batch")
        return nn.functional.cross_entropy(outputs, labels)
    return loss
"""
RECIPE = """
name = "t"
[model]
factory = "my_nets:build"
[data]
factory = "my_data:load"
[train]
epochs = 3
batch_size = 32
device = "cpu"
learning_rate = 0.05
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    for name, text in {"my_data.py": DATA, "my_nets.py": NETS, "recipe.toml": RECIPE}.items():
        (tmp_path / name).write_text(text)
    return tmp_path / "recipe.toml"


def _train(recipe: Path, *overrides: str) -> list[str]:
    reporter = Lines()
    run_stages((DATA_STAGE, TRAIN_STAGE), load_recipe(recipe, overrides), recipe.parent / "run", reporter)
    return reporter.said


@pytest.mark.parametrize(
    ("override", "kind", "text"),
    [
        (
            "model.arguments.outputs=1000",
            UsageError,
            r"^model\.factory my_nets:build: .* found float32 \(2, 1000\); give",
        ),
        ("model.arguments.ending=softmax", UsageError, r'declare model\.activation = "softmax"'),
        ("model.arguments.ending=sigmoid", UsageError, r'declare model\.activation = "sigmoid"'),
        ("model.activation=softmax", UsageError, r'"softmax": expected outputs that softmax makes, .* declare "none"'),
        ("data.arguments.target=regression", DataError, r"found float64 \(200,\); regression is another task"),
    ],
)
def test_a_fault_that_one_call_shows(recipe: Path, override: str, kind: type[PipelineError], text: str) -> None:
    with pytest.raises(kind, match=text):
        _train(recipe, override)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        (
            "model.arguments.ending=late",
            r"^stage train: your own code raised ValueError: no more calls \(.*my_nets.py:15\)",
        ),
        ("train.loss=my_nets:late_loss", r"ZeroDivisionError: sixth batch \(.*my_nets.py:27\); mend it there"),
    ],
)
def test_a_fault_that_shows_in_a_later_epoch(recipe: Path, override: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        _train(recipe, override)


@pytest.mark.parametrize("ending", ["logits", "softmax", "sigmoid"])
def test_each_kind_of_outputs_trains(recipe: Path, ending: str) -> None:
    # Its forward views the values of an example in one piece, which pictures that lie channels last cannot give.
    declared = "none" if ending == "logits" else ending
    lines = _train(recipe, f"model.arguments.ending={ending}", f"model.activation={declared}")
    [line] = [line for line in lines if line.startswith("train: validation accuracy")]
    assert float(line.rpartition(" ")[2]) > 0.75
    assert f'"activation": "{declared}"' in (recipe.parent / "run" / "train" / "model.json").read_text()
