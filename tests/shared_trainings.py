"""Trainings of a fraction of a second that several processes share, or that one does alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.launch import read_launch
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.recipe.task import Regression
from pipeline.recipe.train import EarlyStopping, Lbfgs, Plateau
from pipeline.tasks.regression.member import RegressionTask
from pipeline.training.augment import Augmentation
from pipeline.training.freeze import Freezing
from pipeline.training.job import job
from pipeline.training.loss import of_labels
from pipeline.training.mixing import Mixing
from pipeline.training.settings import Objective, Selection, TrainingData
from pipeline.training.transforms import Transforms
from tests.tiny_training import SPEC, TASK, points, settings, train

SGD = {"optimizer": "sgd", "learning_rate": 0.1}
DROPOUT = "dropout"


class Unused(nn.Sequential):
    """A network with a parameter that has no part in its answers."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(2, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
        self.spare = nn.Parameter(torch.ones(3))


class Drawing(nn.Linear):
    """A layer that draws random numbers while it is validated, and makes nothing of them."""

    def forward(self, values: Tensor) -> Tensor:
        if not self.training:
            torch.rand(1)
        return super().forward(values)


def _pictures(seed: int, count: int) -> Split:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 2, count)
    images = generator.integers(0, 200, (count, 3, 6, 6), dtype=np.uint8)
    images[labels == 1, :, :, :3] += 50
    return Split(inputs={"x": images}, labels=labels)


def _values(seed: int, count: int) -> Split:
    raw = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    return Split(inputs={"x": raw}, labels=(raw.sum(axis=1, keepdims=True) * 50 + 300).astype(np.float32))


def _contrast(outputs_BK: Tensor, labels_B: Tensor) -> Tensor:
    """A loss that is no mean over its examples: it compares them with each other, and weighs classes."""
    weights_K = torch.tensor([1.0, 5.0])
    spread = (outputs_BK - outputs_BK.mean(dim=0)).square().mean()
    return F.cross_entropy(outputs_BK, labels_B, weight=weights_K) + 0.1 / (0.1 + spread)


# The gradient of a bias in front of a batch norm is 0 but for rounding, and Adam makes whole steps of it.
PLAIN = replace(
    SPEC,
    build=lambda: nn.Sequential(nn.Linear(2, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
)
PICTURES = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 2)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="uint8", shape=(3, 6, 6), low=0, high=255),),
    labels=("a", "b"),
)
NUMBERS = replace(
    SPEC,
    build=lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)),
    labels=("y",),
    task="regression",
)
_POINTS = TrainingData(task=TASK, train=points(1, 257), validation=points(2, 1100))
_PICTURES = TrainingData(task=TASK, train=_pictures(1, 90), validation=_pictures(2, 40))
_REGRESSION = RegressionTask(settings=Regression(tolerance=(1.0,), center=(300.0,), scale=(70.0,)))
_NUMBERS = TrainingData(task=_REGRESSION, train=_values(1, 100), validation=_values(2, 50))


@dataclass(frozen=True, kw_only=True)
class Way:
    """One training: what the optimizer is told, further settings, and what is trained on what."""

    optimization: Mapping[str, Any]
    changes: Mapping[str, Any]
    spec: ModelSpec = PLAIN
    data: TrainingData = _POINTS
    objective: Objective | None = None


def _way(optimization: Mapping[str, Any], spec: ModelSpec = PLAIN, data: TrainingData = _POINTS, **changes: Any) -> Way:
    return Way(optimization=optimization, changes=changes, spec=spec, data=data)


WAYS = {
    "sgd": _way(SGD),
    "adamw, unused parameter": _way({}, replace(PLAIN, build=Unused)),
    # The last batch has 2 examples: with three processes, one of them has none.
    "accumulated and clipped": _way({**SGD, "accumulate": 2, "clip_norm": 0.5}, batch_size=51),
    "average, best kept": _way(SGD, ema_decay=0.9, selection=Selection(keep="best")),
    "balanced": _way(SGD, sampling="balanced"),
    "bf16": _way(SGD, mixed_precision="bf16"),
    "computed again": _way(SGD, activation_checkpointing=("0", "1")),
    "frozen at first": _way(SGD, freezing=Freezing(names=("0", "1"), unfreeze_after={"0": 1})),
    "plateau": _way(
        {**SGD, "schedule": "reduce-on-plateau", "plateau": Plateau(patience=0, factor=0.5, min_gain=0.05)}
    ),
    "early stopping": _way(
        {**SGD, "schedule": "constant"},
        epochs=6,
        selection=Selection(early_stopping=EarlyStopping(patience=1, min_gain=0.1)),
    ),
    "lbfgs": _way(
        {
            "optimizer": "lbfgs",
            "learning_rate": 1.0,
            "weight_decay": 0.0,
            "schedule": "constant",
            "lbfgs": Lbfgs(iterations=2),
        },
        replace(PLAIN, build=lambda: nn.Linear(2, 2)),
        batch_size=257,
    ),
    "own loss": replace(_way(SGD), objective=Objective(loss=of_labels(_contrast), criterion=_contrast)),
    "moved": _way(SGD, PICTURES, _PICTURES, augmentation=Augmentation(horizontal_flip=True, shift=1)),
    "changed and mixed": _way(
        SGD,
        PICTURES,
        _PICTURES,
        augmentation=Augmentation(
            transforms=Transforms(rotation=10, brightness=0.2, erasing=0.5, rand_augment=1),
            mixing=Mixing(mixup=0.5, cutmix=0.5),
        ),
    ),
    "drawing on validation": _way(SGD, replace(PLAIN, build=lambda: Drawing(2, 2))),
    "in units of the targets": _way(SGD, NUMBERS, _NUMBERS, untrained=True),
    DROPOUT: _way(SGD, SPEC),
}


def train_ways(folder: Path) -> dict[str, Any]:
    """Train in all ways; return by the name of each the figures of its epochs and a digest of its weights."""
    outcomes = {}
    for name, way in WAYS.items():
        training = settings(dict(way.optimization), **way.changes)
        network, trained = train(
            folder / name.replace(" ", "-"), training, data=way.data, spec=way.spec, objective=way.objective
        )
        weights = b"".join(value.numpy().tobytes() for value in network.state_dict().values())
        outcomes[name] = {
            "epochs": [asdict(epoch) for epoch in trained.epochs],
            "final": asdict(trained.final),
            "kept": list(trained.kept),
            "processes": list(trained.processes),
            "weights": hashlib.sha256(weights).hexdigest(),
        }
    return outcomes


def share_ways(folder: Path) -> None:
    """Do the same in one of several processes, whose number stands in the name of the file with the outcome."""
    launch = read_launch()
    assert launch is not None
    own = folder / f"files-{launch.rank}"
    own.mkdir()
    with job(launch):
        outcomes = train_ways(own)
    (folder / f"outcomes-{launch.rank}.json").write_text(json.dumps(outcomes), encoding="utf-8")
