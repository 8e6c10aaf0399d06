"""The loop trains on a problem of a few hundred points."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import Split
from pipeline.engine.kept import read_kept
from pipeline.engine.stage import Silent
from pipeline.errors import UsageError
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.augment import Augmentation
from pipeline.training.checkpoint import FILE, load_checkpoint, save_checkpoint
from pipeline.training.examples import Examples, batches
from pipeline.training.history import Epoch, Metrics, draw_learning_curves, write_history
from pipeline.training.loop import Trained, build_network, train_network
from pipeline.training.loss import of_labels
from tests.reporters import Lines

TASK = ClassificationTask()
SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="float32", shape=(2,), low=-99, high=99),),
    labels=("a", "b"),
)
SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 0.02,
    "weight_decay": 0.01,
    "schedule": "one-cycle",
    "loss": of_labels(partial(F.cross_entropy, label_smoothing=0.1)),
    "augmentation": Augmentation(),
    "seed": 0,
    "device": "cpu",
}


def _split(seed: int, count: int) -> Split:
    raw = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    return Split(inputs={"x": raw}, labels=(raw.sum(axis=1) > 0).astype(np.int64))


def _train(scratch: Path, reporter: Any = None, **changes: Any) -> tuple[nn.Module, Trained]:
    scratch.mkdir(exist_ok=True)
    network = build_network(SPEC, seed=changes.get("seed", 0))
    trained = train_network(
        SPEC,
        network,
        task=TASK,
        train=changes.pop("train", _split(1, 257)),
        validation=changes.pop("validation", _split(2, 100)),
        scratch=scratch,
        reporter=reporter or Silent(),
        **{**SETTINGS, **changes},
    )
    return network, trained


def _same(left: nn.Module, right: nn.Module) -> bool:
    there = right.state_dict()
    return all(torch.equal(value, there[key]) for key, value in left.state_dict().items())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_it_learns_and_is_bitwise_repeatable(tmp_path: Path, optimizer: str, schedule: str) -> None:
    changes = {"optimizer": optimizer, "schedule": schedule}
    first, trained = _train(tmp_path / "a", **changes)
    second, second_trained = _train(tmp_path / "b", **changes)
    assert trained.final.score > 0.75
    assert trained == second_trained
    assert _same(first, second)
    assert not first.training


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    assert not _same(_train(tmp_path / "a")[0], _train(tmp_path / "b", seed=1)[0])


def test_the_random_state_and_settings_of_the_process_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    _train(tmp_path / "a")
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


class _Interrupted(Silent):
    """A reporter that stops the run in the middle of an epoch, as Ctrl-C does."""

    def __init__(self, completed: int) -> None:
        self.completed = completed

    def progress(self, task: str, completed: int, total: int, detail: str = "") -> None:
        assert task == "train"
        assert "loss" in detail
        assert "accuracy" in detail
        assert completed <= total
        if completed >= self.completed:
            raise KeyboardInterrupt


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_a_run_stopped_twice_ends_with_the_same_weights(tmp_path: Path, optimizer: str, schedule: str) -> None:
    changes = {"optimizer": optimizer, "schedule": schedule}
    whole, trained = _train(tmp_path / "whole", **changes)
    for stop in (14, 20):
        with pytest.raises(KeyboardInterrupt):
            _train(tmp_path / "parts", _Interrupted(stop), **changes)
    checkpoint = load_checkpoint(tmp_path / "parts", Silent().log)
    assert checkpoint is not None
    assert len(checkpoint.epochs) == 2
    parts, resumed = _train(tmp_path / "parts", **changes)
    assert _same(whole, parts)
    assert trained == resumed


def test_no_epochs_leave_the_weights_and_still_evaluate(tmp_path: Path) -> None:
    network, trained = _train(tmp_path / "a", epochs=0)
    assert _same(network, build_network(SPEC, seed=0))
    assert trained.epochs == ()
    assert 0 <= trained.final.score <= 1


def test_a_loss_that_explodes_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"expected a finite loss, found (nan|inf) .*lower train\.learning_rate \(now 1e\+30\)"
    ):
        _train(tmp_path / "a", optimizer="sgd", learning_rate=1e30, schedule="constant", epochs=50)


@pytest.mark.parametrize(
    ("augmentation", "key"), [(Augmentation(horizontal_flip=True), "horizontal_flip"), (Augmentation(shift=1), "shift")]
)
def test_moving_pictures_needs_pictures(tmp_path: Path, augmentation: Augmentation, key: str) -> None:
    with pytest.raises(UsageError, match=rf"train\.{key}: expected an input of shape \(C, H, W\), found x \(2,\)"):
        _train(tmp_path / "a", augmentation=augmentation)


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    device = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(UsageError, match=r"train\.device: expected one of this machine \(.*cpu\), found"):
        _train(tmp_path / "a", device=device)


def test_one_example_left_over_joins_the_batch_before() -> None:
    assert [len(batch) for batch in batches(torch.arange(257), 128)] == [128, 129]
    assert [len(batch) for batch in batches(torch.arange(258), 128)] == [128, 128, 2]
    assert [len(batch) for batch in batches(torch.arange(1), 128)] == [1]


def test_flips_mirror_about_half_of_the_pictures_and_only_pictures() -> None:
    pictures = torch.arange(1000 * 2, dtype=torch.int32).reshape(1000, 1, 1, 2)
    table = torch.arange(2000).reshape(1000, 2)
    examples = Examples(
        inputs=(pictures, table),
        labels=torch.zeros(1000, dtype=torch.int64),
        pictures=(True, False),
        device=torch.device("cpu"),
    )
    torch.manual_seed(0)
    seen, same = examples.take(torch.arange(1000), Augmentation(horizontal_flip=True).draw(1000))
    mirrored = (seen == pictures.flip(-1)).all(dim=-1).flatten()
    assert torch.equal(same, table)
    assert ((seen == pictures).all(dim=-1).flatten() ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570


def test_a_damaged_checkpoint_is_told_and_training_starts_over(tmp_path: Path) -> None:
    whole, trained = _train(tmp_path / "a")
    file = tmp_path / "a" / FILE
    finished, draw = file.read_bytes(), np.random.default_rng(0)
    for bit in draw.integers(8 * len(finished), size=8):
        damaged = bytearray(finished)
        damaged[bit // 8] ^= 1 << bit % 8
        file.write_bytes(damaged)
        said = Lines()
        again, figures = _train(tmp_path / "a", said)
        assert _same(again, whole)
        assert figures == trained
        assert said.said[0] == f"{file}: expected what an earlier run kept, found other bytes; it is made again"
        assert file.read_bytes() == finished


def test_a_checkpoint_holds_no_code(tmp_path: Path) -> None:
    _train(tmp_path / "a")
    content = read_kept(tmp_path / "a" / FILE, Silent().log)
    assert content is not None
    document = torch.load(io.BytesIO(content), weights_only=True)
    assert set(document) == {"network", "optimizer", "schedule", "random", "epochs"}
    assert document["network"]._metadata["1"] == {"version": 2}, "torch's versions of modules"
    checkpoint = load_checkpoint(tmp_path / "a", Silent().log)
    assert checkpoint is not None
    save_checkpoint(tmp_path, replace(checkpoint, epochs=()))
    assert [path.name for path in tmp_path.glob("checkpoint*")] == [FILE]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_history_and_curves_are_the_same_bytes_for_the_same_figures(tmp_path: Path, count: int) -> None:
    metrics = Metrics(loss=0.5, score=0.75)
    epochs = [Epoch(epoch=number + 1, learning_rate=0.1, train=metrics, validation=metrics) for number in range(count)]
    for name in "ab":
        write_history(tmp_path / f"{name}.json", epochs, metrics, task=TASK)
        draw_learning_curves(tmp_path / f"{name}.png", epochs, metrics, task=TASK, loss="cross-entropy in nats")
    for suffix in ("json", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    document = json.loads((tmp_path / "a.json").read_text())
    assert len(document["epochs"]) == count
    assert document["final"] == {"validation": {"loss": 0.5, "accuracy": 0.75}}
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_both_curves_show_the_loss_that_is_minimised(tmp_path: Path, smoothing: float) -> None:
    """With smoothing, the plain cross-entropy of a good network lies far below what training can ever reach."""
    criterion = partial(F.cross_entropy, label_smoothing=smoothing)
    network, trained = _train(tmp_path / "a", loss=of_labels(criterion), criterion=criterion)
    held_out = _split(2, 100)
    logits, labels = network(torch.from_numpy(held_out.inputs["x"])), torch.from_numpy(held_out.labels)
    assert trained.final.loss == pytest.approx(criterion(logits, labels).item(), abs=1e-5)
    assert trained.final.plain_loss == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
    last = trained.epochs[-1]
    assert last.train.loss == pytest.approx(last.validation.loss, abs=0.1)
    write_history(tmp_path / "history.json", trained.epochs, trained.final, task=TASK)
    written = json.loads((tmp_path / "history.json").read_text())["epochs"][-1]
    assert (set(written["train"]), set(written["validation"])) == (
        {"loss", "accuracy"},
        {"loss", "accuracy", "cross_entropy"},
    )
    assert trained.final.words(TASK).count("cross-entropy") == (smoothing > 0)


def test_a_loss_that_is_none_on_validation_does_not_end_a_training(tmp_path: Path) -> None:
    weighted = partial(F.cross_entropy, weight=torch.tensor([0.0, 1.0]))
    held_out = _split(2, 100)
    only = held_out.take(np.flatnonzero(held_out.labels == 0))  # a weighted mean over classes that weigh nothing: 0/0
    _, trained = _train(tmp_path / "a", loss=of_labels(weighted), criterion=weighted, validation=only)
    assert trained.final.loss is None
    assert trained.final.plain_loss is not None
    write_history(tmp_path / "history.json", trained.epochs, trained.final, task=TASK)
    assert "NaN" not in (tmp_path / "history.json").read_text()
    draw_learning_curves(tmp_path / "curves.png", trained.epochs, trained.final, task=TASK, loss="train.loss my:loss")


def test_a_loss_may_take_gradients_of_the_answers_on_validation_too(tmp_path: Path) -> None:
    def smooth(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        loss = F.cross_entropy(logits, labels)
        (gradient,) = torch.autograd.grad(loss, logits, create_graph=True)
        return loss + gradient.square().sum()

    _, trained = _train(tmp_path / "a", loss=of_labels(smooth), criterion=smooth)
    assert trained.final.loss is not None
