"""A training that was cut anywhere ends with the same weights as one in one go, whatever the recipe says."""

from __future__ import annotations

import io
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.amp import GradScaler

from pipeline.data.dataset import Split
from pipeline.engine.kept import read_kept
from pipeline.engine.stage import Silent
from pipeline.errors import FileError, UsageError
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.recipe.task import Regression
from pipeline.recipe.train import EarlyStopping, Lbfgs, Plateau, StepDecay
from pipeline.tasks.regression.member import RegressionTask
from pipeline.training import run
from pipeline.training.checkpoint import checkpoint_files, load_checkpoint, save_checkpoint
from pipeline.training.loss import of_labels
from pipeline.training.mixed_precision import Precision
from pipeline.training.resume import forget_what_cannot_go_on
from pipeline.training.settings import Objective, Selection, TrainingData, TrainingSettings
from tests.reporters import Lines
from tests.tiny_training import SPEC, Interrupted, points, same, settings, train

OPTIMIZERS: list[dict[str, Any]] = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.5, "nesterov": False},
    {"optimizer": "adam"},
    {"optimizer": "adamw"},
    {"optimizer": "rmsprop", "momentum": 0.5, "learning_rate": 0.002},
    {"optimizer": "lbfgs", "learning_rate": 1.0, "weight_decay": 0.0, "lbfgs": Lbfgs(iterations=4, history=3)},
]
SCHEDULES: list[dict[str, Any]] = [
    {"schedule": "constant"},
    {"schedule": "cosine"},
    {"schedule": "one-cycle"},
    {"schedule": "step", "step": StepDecay(every=2, factor=0.5)},
    {"schedule": "reduce-on-plateau", "plateau": Plateau(patience=0, factor=0.5, min_gain=0.05)},
    {"schedule": "one-cycle", "warm_up": 1.5},
    {"schedule": "reduce-on-plateau", "plateau": Plateau(patience=0, factor=0.5, min_gain=0.05), "warm_up": 0.5},
]
# Each optimizer with a schedule that steps by itself and one that validation moves, and two with every schedule.
PAIRS = [
    *[(optimizer, SCHEDULES[number]) for optimizer in OPTIMIZERS for number in (1, 4)],
    *[(optimizer, schedule) for optimizer in (OPTIMIZERS[0], OPTIMIZERS[3]) for schedule in SCHEDULES],
]
BEST = Selection(keep="best")
WAYS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"accumulate": 3, "clip_norm": 0.5}, {}),
    ({}, {"ema_decay": 0.9}),
    ({}, {"ema_decay": 0.9, "selection": BEST}),
    ({"schedule": "constant"}, {"selection": Selection(keep="best", monitor="loss")}),
    ({}, {"sampling": "balanced"}),
    ({}, {"mixed_precision": "bf16"}),
    ({}, {"activation_checkpointing": ("0", "1")}),
    ({"schedule": "constant"}, {"selection": Selection(early_stopping=EarlyStopping(patience=2, min_gain=0.02))}),
    ({"optimizer": "lbfgs", "learning_rate": 1.0, "schedule": "constant"}, {"batch_size": 257, "ema_decay": 0.5}),
]


def _name(value: Any) -> str:
    return "-".join(str(part) for part in value.values()) if isinstance(value, dict) else ""


def _cut_after_each_epoch(folder: Path, training: TrainingSettings, **more: Any) -> None:
    whole, trained = train(folder / "whole", training, **more)
    steps = -(-257 // training.batch_size)
    for epoch in range(1, training.epochs):
        # A run that is cut inside of an epoch goes on from the one before it.
        with pytest.raises(KeyboardInterrupt):
            train(folder / "parts", training, reporter=Interrupted(epoch * steps + 1), **more)
        assert len(checkpoint_files(folder / "parts")) == min(epoch, training.checkpoints)
        if len(trained.epochs) == epoch:
            break
    parts, resumed = train(folder / "parts", training, **more)
    assert same(whole, parts)
    assert trained == resumed


@pytest.mark.parametrize(("optimizer", "schedule"), PAIRS, ids=_name)
def test_every_optimizer_and_every_schedule(
    tmp_path: Path, optimizer: dict[str, Any], schedule: dict[str, Any]
) -> None:
    _cut_after_each_epoch(tmp_path, settings({**optimizer, **schedule}, batch_size=64))


@pytest.mark.parametrize(("optimization", "changes"), WAYS)
def test_everything_else_that_a_recipe_may_say(
    tmp_path: Path, optimization: dict[str, Any], changes: dict[str, Any]
) -> None:
    training = settings(optimization, **{"epochs": 4, "batch_size": 64, **changes})
    objective = Objective(loss=of_labels(F.cross_entropy), criterion=F.cross_entropy)
    _cut_after_each_epoch(tmp_path, training, objective=objective)


def test_numbers_in_units_of_their_spread(tmp_path: Path) -> None:
    """The last layer answers in other units while it is trained; averaged and best weights do, too."""
    task = RegressionTask(settings=Regression(tolerance=(1.0,), center=(150.0,), scale=(3.0,)))
    spec = ModelSpec(
        name="m",
        build=lambda: nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)),
        preprocess=ToFloat,
        inputs=SPEC.inputs,
        labels=("value",),
        task="regression",
    )

    def split(seed: int, count: int) -> Split:
        raw = points(seed, count).inputs["x"]
        return Split(inputs={"x": raw}, labels=(150 + 2 * raw.sum(axis=1, keepdims=True)).astype(np.float32))

    criterion = task.criterion(activation="none", label_smoothing=0.0, loss="smooth-l1")
    more: dict[str, Any] = {
        "spec": spec,
        "data": TrainingData(task=task, train=split(1, 257), validation=split(2, 100)),
        "objective": Objective(loss=of_labels(criterion), criterion=criterion),
    }
    training = settings(epochs=4, untrained=True, ema_decay=0.8, selection=BEST)
    network, trained = train(tmp_path / "whole", training, **more)
    assert trained.final.score > 0.5
    answers = network.eval()(torch.from_numpy(points(2, 100).inputs["x"]))
    assert float(answers.detach().mean()) == pytest.approx(150, abs=1)
    _cut_after_each_epoch(tmp_path, training, **more)


@pytest.mark.parametrize(
    "optimizer", ["sgd", *(pytest.param(name, marks=pytest.mark.slow) for name in ("adamw", "rmsprop"))]
)
def test_scaled_gradients(tmp_path: Path, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe has them on CUDA alone; the CPU computes the same, slowly. The first steps overflow."""

    def scaled(_name: str, device: torch.device, **_: Any) -> Precision:
        scaler = GradScaler("cpu", init_scale=2.0**26, growth_interval=20)
        return Precision(device=device, dtype=torch.float16, scaler=scaler)

    monkeypatch.setattr(run, "choose_precision", scaled)
    training = settings({"optimizer": optimizer, "clip_norm": 1.0, "learning_rate": 0.02}, epochs=4)
    _cut_after_each_epoch(tmp_path, training)
    checkpoint = load_checkpoint(tmp_path / "parts", Silent().log)
    assert checkpoint is not None
    assert checkpoint.scaler["scale"] < 2.0**26
    assert checkpoint.epochs[-1].validation.score > 0.75


@pytest.mark.parametrize("schedule", SCHEDULES, ids=_name)
def test_more_epochs_go_on_where_that_is_the_same_as_all_in_one_go(tmp_path: Path, schedule: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"batch_size": 64, "selection": BEST, "ema_decay": 0.9}
    few, many = (settings(schedule, epochs=epochs, **changes) for epochs in (4, 8))
    whole, trained = train(tmp_path / "whole", many)
    train(tmp_path / "parts", few)
    forget_what_cannot_go_on(few, tmp_path / "parts")
    said = Lines()
    parts, resumed = train(tmp_path / "parts", many, reporter=said)
    assert same(whole, parts)
    assert trained == resumed
    if schedule["schedule"] == "one-cycle":
        assert said.said[0] == (
            "train: starts anew for 8 epochs: the schedule one-cycle spans the whole run, so that the learning rates "
            "of 4 epochs are others"
        )
        assert said.said[1].startswith("train: epoch 1/8, ")
    if schedule["schedule"] == "step":
        assert said.said[0] == "train: continues after epoch 4 of 8"
        assert said.said[1].startswith("train: epoch 5/8, ")


def test_fewer_epochs_start_anew_where_no_checkpoint_of_so_few_is_left(tmp_path: Path) -> None:
    few, many = (settings({"schedule": "constant"}, epochs=epochs) for epochs in (2, 5))
    whole, _ = train(tmp_path / "whole", few)
    train(tmp_path / "parts", many)
    said = Lines()
    parts, _ = train(tmp_path / "parts", few, reporter=said)
    assert said.said[0] == "train: starts anew for 2 epochs: no checkpoint of so few is kept"
    assert same(whole, parts)


def test_a_training_that_several_processes_began_says_that_one_goes_on(tmp_path: Path) -> None:
    train(tmp_path / "a", settings({"schedule": "constant"}, epochs=1))
    checkpoint = load_checkpoint(tmp_path / "a", Silent().log)
    assert checkpoint is not None
    assert checkpoint.processes == (1,)
    save_checkpoint(tmp_path / "a", replace(checkpoint, processes=(2,)), metric="accuracy", keep=1)
    said = Lines()
    _, trained = train(tmp_path / "a", settings({"schedule": "constant"}, epochs=2), reporter=said)
    assert trained.processes == (2, 1)
    assert said.said[0] == (
        "train: continues after epoch 1 of 2, with 1 process instead of 2: its weights will differ by rounding from "
        "those of training in one go"
    )


def test_a_checkpoint_of_a_release_that_knew_one_process_is_gone_on_from(tmp_path: Path) -> None:
    train(tmp_path / "a", settings({"schedule": "constant"}, epochs=1))
    checkpoint = load_checkpoint(tmp_path / "a", Silent().log)
    assert checkpoint is not None
    save_checkpoint(tmp_path / "a", replace(checkpoint, processes=()), metric="accuracy", keep=1)
    said = Lines()
    _, trained = train(tmp_path / "a", settings({"schedule": "constant"}, epochs=2), reporter=said)
    assert trained.processes == (1, 1)
    assert said.said[0] == "train: continues after epoch 1 of 2"


def test_a_damaged_checkpoint_falls_back_to_the_one_before_it(tmp_path: Path) -> None:
    training = settings()
    whole, trained = train(tmp_path / "a", training)
    last, before = checkpoint_files(tmp_path / "a")
    finished, draw = last.read_bytes(), np.random.default_rng(0)
    assert (last.name[:11], before.name[:11]) == ("epoch-0003-", "epoch-0002-")
    assert last.name == f"epoch-0003-accuracy-{trained.final.score:.4f}.kept"
    for bit in draw.integers(8 * len(finished), size=8):
        damaged = bytearray(finished)
        damaged[bit // 8] ^= 1 << bit % 8
        last.write_bytes(damaged)
        said = Lines()
        again, figures = train(tmp_path / "a", training, reporter=said)
        assert same(again, whole)
        assert figures == trained
        assert said.said[:2] == [
            f"{last}: expected what an earlier run kept, found other bytes; it is made again",
            "train: continues after epoch 2 of 3",
        ]
        whole_again = load_checkpoint(tmp_path / "a", pytest.fail)
        assert whole_again is not None
        assert whole_again.epochs == trained.epochs
    for file in (last, before):
        file.write_bytes(file.read_bytes()[:-1])
    said = Lines()
    again, figures = train(tmp_path / "a", training, reporter=said)
    assert same(again, whole)
    assert said.said[2].startswith("train: epoch 1/3, ")


def test_what_a_kill_left_half_written_is_removed(tmp_path: Path) -> None:
    remains = tmp_path / ".epoch-0002-accuracy-0.5000.kept.k1ll3d"
    remains.write_bytes(b"sha256 ")
    train(tmp_path, settings(epochs=1))
    assert list(tmp_path.glob(".*")) == []


def test_a_checkpoint_holds_no_code(tmp_path: Path) -> None:
    train(tmp_path / "a", settings(ema_decay=0.9, selection=BEST, checkpoints=1))
    (file,) = (tmp_path / "a").glob("epoch-*")
    content = read_kept(file, Silent().log)
    assert content is not None
    document = torch.load(io.BytesIO(content), weights_only=True)
    state = {"network", "optimizer", "schedule", "random", "scaler", "average", "best"}
    assert set(document) == state | {"epochs", "origin", "planned", "processes"}
    assert document["network"]._metadata["1"] == {"version": 2}, "torch's versions of modules"


def test_a_checkpoint_that_the_user_names_is_gone_on_from(tmp_path: Path) -> None:
    training, origin = settings(checkpoints=3), {"train.seed": "0"}
    whole, trained = train(tmp_path / "a", training, origin=origin)
    for file in checkpoint_files(tmp_path / "a")[1:]:
        shutil.copy(file, tmp_path / f"mine-{file.name[6:10]}")
    for name, completed in (("mine-0001", 1), ("mine-0002", 2), ("a", 3)):
        said = Lines()
        folder = tmp_path / f"from {name}"
        parts, resumed = train(folder, training, resume=tmp_path / name, origin=origin, reporter=said)
        assert said.said[0].startswith(f"train: continues after epoch {completed} of 3, from {tmp_path / name}")
        assert same(whole, parts)
        assert resumed == trained
        # An interruption goes on from there, too.
        assert checkpoint_files(folder)[-1].name.startswith(f"epoch-000{max(completed, 1)}")


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    training = settings()
    train(tmp_path / "a", training, origin={"train.seed": "0", "the train data": "abc"})
    said = r"expected a checkpoint of this training, with the train data = x, found abc, and 1 more differ"
    with pytest.raises(UsageError, match=said):
        train(tmp_path / "b", training, resume=tmp_path / "a", origin={"train.seed": "1", "the train data": "x"})
    origin = {"train.seed": "0", "the train data": "abc"}
    with pytest.raises(UsageError, match=r"expected a checkpoint of 5 epochs, found one of 3: the schedule one-cycle"):
        train(tmp_path / "b", settings(epochs=5), resume=tmp_path / "a", origin=origin)
    with pytest.raises(UsageError, match=r"expected at most 2 completed epochs, found 3; raise train\.epochs"):
        train(tmp_path / "b", settings({"schedule": "constant"}, epochs=2), resume=tmp_path / "a", origin=origin)
    damaged = tmp_path / "damaged.kept"
    damaged.write_bytes(b"sha256 no")
    with pytest.raises(FileError, match=r"expected a checkpoint of pipeline train, .* found 1 damaged"):
        train(tmp_path / "b", training, resume=damaged)
    with pytest.raises(FileError, match="found none"):
        train(tmp_path / "b", training, resume=tmp_path / "b")


def test_a_shorter_training_keeps_checkpoints_of_its_own_beside_those_of_a_longer_one(tmp_path: Path) -> None:
    few, many = (settings({"schedule": "constant"}, epochs=epochs, checkpoints=1) for epochs in (3, 5))
    whole, _ = train(tmp_path / "whole", few)
    train(tmp_path / "parts", many)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", few, reporter=Interrupted(20))  # in the third epoch of 9 batches
    said = Lines()
    parts, _ = train(tmp_path / "parts", few, reporter=said)
    assert said.said[0] == "train: continues after epoch 2 of 3"
    assert same(whole, parts)


def test_a_training_whose_number_of_epochs_was_lost_starts_anew(tmp_path: Path) -> None:
    train(tmp_path / "a", settings(epochs=3))
    (tmp_path / "a" / "planned-epochs.kept").write_bytes(b"sha256 no")
    whole, _ = train(tmp_path / "whole", settings(epochs=5))
    said = Lines()
    parts, _ = train(tmp_path / "a", settings(epochs=5), reporter=said)
    assert same(whole, parts)
    assert "learning rates of 3 epochs are others" in said.said[1]


def test_another_file_of_a_run_is_no_checkpoint(tmp_path: Path) -> None:
    train(tmp_path / "a", settings())
    with pytest.raises(FileError, match=r"expected a checkpoint of pipeline train, found another file"):
        train(tmp_path / "b", settings(), resume=tmp_path / "a" / "planned-epochs.kept")
