"""A training of a fraction of a second: a few hundred points, and a network with batch norm and dropout."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.stage import Reporter, Silent
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.loop import Trained, build_network, train_network
from pipeline.training.loss import of_labels
from pipeline.training.processes import current_processes
from pipeline.training.settings import Objective, Optimization, Session, TrainingData, TrainingSettings

TASK = ClassificationTask()
SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99),),
    labels=("a", "b"),
)
OPTIMIZATION: dict[str, Any] = {
    "optimizer": "adamw",
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "schedule": "one-cycle",
}


def points(seed: int, count: int) -> Split:
    """Points of two classes, above and below a line."""
    raw = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    return Split(inputs={"x": raw}, labels=(raw.sum(axis=1) > 0).astype(np.int64))


def settings(optimization: dict[str, Any] | None = None, **changes: Any) -> TrainingSettings:
    """Settings of a training, with changes."""
    return TrainingSettings(
        **{
            "epochs": 3,
            "batch_size": 32,
            "seed": 0,
            "device": "cpu",
            "optimization": Optimization(**OPTIMIZATION | (optimization or {})),
            **changes,
        }
    )


def train(
    scratch: Path,
    training: TrainingSettings,
    *,
    reporter: Reporter | None = None,
    data: TrainingData | None = None,
    objective: Objective | None = None,
    spec: ModelSpec = SPEC,
    resume: Path | None = None,
    origin: dict[str, str] | None = None,
) -> tuple[nn.Module, Trained]:
    """Train a new network in a folder, which is made if it is not there."""
    scratch.mkdir(exist_ok=True)
    network = build_network(spec, seed=training.seed)
    trained = train_network(
        spec,
        network,
        data=data or TrainingData(task=TASK, train=points(1, 257), validation=points(2, 100)),
        settings=training,
        objective=objective or Objective(loss=of_labels(partial(F.cross_entropy, label_smoothing=0.1))),
        session=Session(
            scratch=scratch,
            reporter=reporter or Silent(),
            resume=resume,
            origin=origin or {},
            processes=current_processes(),
        ),
    )
    return network, trained


def same(left: nn.Module, right: nn.Module) -> bool:
    """Whether all parameters and buffers of two networks are bitwise the same."""
    there = right.state_dict()
    return all(torch.equal(value, there[key]) for key, value in left.state_dict().items())


class Interrupted(Silent):
    """A reporter that stops the run in the middle of an epoch, as Ctrl-C does."""

    def __init__(self, completed: int) -> None:
        self.completed = completed

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        """Stop after so many batches."""
        assert task == "train"
        assert "loss" in detail
        assert completed <= total
        if completed >= self.completed:
            raise KeyboardInterrupt
