"""A step changes the weights as its settings say."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.stage import Silent
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.recipe.train import Lbfgs
from pipeline.training.loop import build_network
from pipeline.training.loss import of_labels
from pipeline.training.run import start_epoch, started
from pipeline.training.settings import Objective, Session, TrainingData
from pipeline.training.step import take_step
from tests.tiny_training import SPEC, TASK, points, same, settings, train

PLAIN = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)),
    preprocess=ToFloat,
    inputs=SPEC.inputs,
    labels=SPEC.labels,
)
OBJECTIVE = Objective(loss=of_labels(F.cross_entropy), criterion=F.cross_entropy)
DATA = TrainingData(task=TASK, train=points(1, 250), validation=points(2, 100))
SGD = {"optimizer": "sgd", "learning_rate": 0.5, "schedule": "constant", "weight_decay": 0.0}


def weights(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def test_accumulated_batches_are_one_large_batch(tmp_path: Path) -> None:
    large, figures = train(tmp_path / "a", settings(SGD, batch_size=60), spec=PLAIN, data=DATA, objective=OBJECTIVE)
    # 250 examples are batches of 20 and one of 10: the last step has fewer and smaller ones.
    parts, others = train(
        tmp_path / "b", settings(SGD | {"accumulate": 3}, batch_size=20), spec=PLAIN, data=DATA, objective=OBJECTIVE
    )
    assert torch.allclose(weights(large), weights(parts), atol=1e-6)
    assert figures.epochs[-1].train.loss == pytest.approx(others.epochs[-1].train.loss, abs=1e-6)
    assert figures.epochs[-1].train.score == pytest.approx(others.epochs[-1].train.score)


def test_the_norm_of_all_gradients_is_clipped(tmp_path: Path) -> None:
    training = settings(SGD | {"clip_norm": 0.01, "momentum": 0.0}, epochs=1, batch_size=250)
    before = weights(train(tmp_path / "a", settings(epochs=0), spec=PLAIN, data=DATA)[0])
    after = weights(train(tmp_path / "b", training, spec=PLAIN, data=DATA, objective=OBJECTIVE)[0])
    assert (after - before).norm().item() == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_lbfgs_reaches_in_a_few_steps_what_takes_gradients_many(tmp_path: Path) -> None:
    lbfgs = {"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant", "lbfgs": Lbfgs()}
    _, quick = train(
        tmp_path / "a", settings(lbfgs, epochs=3, batch_size=250), spec=PLAIN, data=DATA, objective=OBJECTIVE
    )
    _, slow = train(tmp_path / "b", settings(SGD, epochs=3, batch_size=250), spec=PLAIN, data=DATA, objective=OBJECTIVE)
    losses = [epoch.train.loss or 0.0 for epoch in quick.epochs]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 1e-3
    assert slow.epochs[-1].train.loss is not None
    assert slow.epochs[-1].train.loss > 0.1


def test_lbfgs_trains_convolutions(tmp_path: Path) -> None:
    lbfgs = {"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant", "weight_decay": 0.0}
    spec = ModelSpec(
        name="m",
        build=lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.Linear(4, 2)),
        preprocess=ToFloat,
        inputs=(InputSpec(name="x", dtype="float32", shape=(2, 4, 4), low=-99, high=99),),
        labels=("a", "b"),
    )
    raw = np.random.default_rng(3).normal(size=(200, 2, 4, 4)).astype(np.float32)
    split = Split(inputs={"x": raw}, labels=(raw[:, 0].mean(axis=(1, 2)) > 0).astype(np.int64))
    data = TrainingData(task=TASK, train=split, validation=split)
    _, trained = train(
        tmp_path / "a", settings(lbfgs, epochs=4, batch_size=200), spec=spec, data=data, objective=OBJECTIVE
    )
    assert trained.final.score > 0.9


def test_an_evaluation_of_lbfgs_sees_the_same_dropout_as_the_others_of_its_step(tmp_path: Path) -> None:
    seen: list[Tensor] = []

    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(2, 2)

        def forward(self, points_B2: Tensor) -> Tensor:
            if self.training:
                seen.append(torch.rand(3))
            logits: Tensor = self.linear(points_B2)
            return logits

    spec = ModelSpec(name="m", build=Noisy, preprocess=ToFloat, inputs=SPEC.inputs, labels=SPEC.labels)
    lbfgs = {"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant", "weight_decay": 0.0}
    train(tmp_path / "a", settings(lbfgs, epochs=2, batch_size=250), spec=spec, data=DATA, objective=OBJECTIVE)
    draws = {tuple(draw.tolist()) for draw in seen}
    assert len(seen) > 6
    assert len(draws) == 2, "one draw for each of the two steps"


def test_the_forward_pass_computes_in_bf16_and_the_loss_in_float32(tmp_path: Path) -> None:
    dtypes: set[tuple[torch.dtype, torch.dtype]] = set()

    class Layer(nn.Linear):
        def forward(self, points_B2: Tensor) -> Tensor:
            answers = super().forward(points_B2)
            if self.training:
                dtypes.add((answers.dtype, self.weight.dtype))
            return answers

    def loss(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        assert logits_BK.dtype == torch.float32
        return F.cross_entropy(logits_BK, labels_B)

    spec = ModelSpec(name="m", build=lambda: Layer(2, 2), preprocess=ToFloat, inputs=SPEC.inputs, labels=SPEC.labels)
    training = settings({"learning_rate": 0.2}, epochs=2, mixed_precision="bf16")
    _, trained = train(tmp_path / "a", training, spec=spec, data=DATA, objective=Objective(loss=of_labels(loss)))
    assert dtypes == {(torch.bfloat16, torch.float32)}
    assert trained.final.score > 0.75


def test_the_averaged_weights_are_validated_and_kept(tmp_path: Path) -> None:
    training = settings(SGD, epochs=2, batch_size=50, ema_decay=0.5)
    last, _ = train(tmp_path / "a", settings(SGD, epochs=2, batch_size=50), spec=PLAIN, data=DATA, objective=OBJECTIVE)
    averaged, trained = train(tmp_path / "b", training, spec=PLAIN, data=DATA, objective=OBJECTIVE)
    assert not torch.allclose(weights(last), weights(averaged), atol=1e-4)
    with torch.no_grad():
        logits = averaged(torch.from_numpy(DATA.validation.inputs["x"]))
    labels = torch.from_numpy(points(2, 100).labels)
    assert trained.final.loss == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-6)
    assert trained.kept == ()


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_a_step_that_is_watched_is_the_same_step(tmp_path: Path, optimizer: str) -> None:
    training = settings({"optimizer": optimizer, "learning_rate": 0.5, "schedule": "constant", "clip_norm": None})
    networks, names = [], []
    for watched in (False, True):
        network = build_network(PLAIN, seed=0)
        with started(
            PLAIN,
            network,
            data=DATA,
            settings=training,
            objective=OBJECTIVE,
            session=Session(scratch=tmp_path, reporter=Silent()),
        ) as run:

            def span(name: str) -> AbstractContextManager[None]:
                names.append(name)
                return nullcontext()

            stepper = replace(run.stepper, span=span) if watched else run.stepper
            for parts in start_epoch(run, 1)[:3]:
                take_step(stepper, parts)
        networks.append(network)
    assert same(*networks)
    assert set(names) == {"read", "augment", "forward", "loss", "backward", "optimizer"}
