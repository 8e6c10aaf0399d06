"""The loop trains on a problem of a few hundred points."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import UsageError
from pipeline.training.augment import Augmentation
from pipeline.training.curves import draw_learning_curves
from pipeline.training.examples import Examples, batches
from pipeline.training.history import write_history
from pipeline.training.loop import build_network
from pipeline.training.loss import of_labels
from pipeline.training.settings import Objective, TrainingData
from tests.tiny_training import SPEC, TASK, points, same, settings, train


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine", "one-cycle"])
def test_it_learns_and_is_bitwise_repeatable(tmp_path: Path, optimizer: str, schedule: str) -> None:
    training = settings({"optimizer": optimizer, "schedule": schedule})
    first, trained = train(tmp_path / "a", training)
    second, second_trained = train(tmp_path / "b", training)
    assert trained.final.score > 0.75
    assert trained == second_trained
    assert same(first, second)
    assert not first.training


def test_another_seed_gives_other_weights(tmp_path: Path) -> None:
    assert not same(train(tmp_path / "a", settings())[0], train(tmp_path / "b", settings(seed=1))[0])


def test_the_random_state_and_settings_of_the_process_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(tmp_path / "a", settings())
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_no_epochs_leave_the_weights_and_still_evaluate(tmp_path: Path) -> None:
    network, trained = train(tmp_path / "a", settings(epochs=0))
    assert same(network, build_network(SPEC, seed=0))
    assert trained.epochs == ()
    assert 0 <= trained.final.score <= 1


def test_a_loss_that_explodes_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"expected a finite loss, found (nan|inf) .*lower train\.learning_rate \(now 1e\+30\)"
    ):
        train(tmp_path / "a", settings({"optimizer": "sgd", "learning_rate": 1e30, "schedule": "constant"}, epochs=50))


@pytest.mark.parametrize(
    ("augmentation", "key"), [(Augmentation(horizontal_flip=True), "horizontal_flip"), (Augmentation(shift=1), "shift")]
)
def test_moving_pictures_needs_pictures(tmp_path: Path, augmentation: Augmentation, key: str) -> None:
    with pytest.raises(UsageError, match=rf"train\.{key}: expected an input of shape \(C, H, W\), found x \(2,\)"):
        train(tmp_path / "a", settings(augmentation=augmentation))


def test_a_device_that_is_not_there(tmp_path: Path) -> None:
    device = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(UsageError, match=r"train\.device: expected one of this machine \(.*cpu\), found"):
        train(tmp_path / "a", settings(device=device))


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


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_both_curves_show_the_loss_that_is_minimised(tmp_path: Path, smoothing: float) -> None:
    """With smoothing, the plain cross-entropy of a good network lies far below what training can ever reach."""
    criterion = partial(F.cross_entropy, label_smoothing=smoothing)
    objective = Objective(loss=of_labels(criterion), criterion=criterion)
    network, trained = train(tmp_path / "a", settings(), objective=objective)
    held_out = points(2, 100)
    logits, labels = network(torch.from_numpy(held_out.inputs["x"])), torch.from_numpy(held_out.labels)
    assert trained.final.loss == pytest.approx(criterion(logits, labels).item(), abs=1e-5)
    assert trained.final.plain_loss == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)
    last = trained.epochs[-1]
    assert last.train.loss == pytest.approx(last.validation.loss, abs=0.1)
    write_history(tmp_path / "history.json", trained.epochs, trained.final, task=TASK)
    written = json.loads((tmp_path / "history.json").read_text())["epochs"][-1]
    assert (set(written["train"]), set(written["validation"])) == (
        {"loss", "accuracy"},
        {"loss", "accuracy", "cross_entropy", "macro_precision", "macro_recall", "macro_F1", "weighted_F1"},
    )
    assert trained.final.words(TASK).count("cross-entropy") == (smoothing > 0)


def test_a_loss_that_is_none_on_validation_does_not_end_a_training(tmp_path: Path) -> None:
    weighted = partial(F.cross_entropy, weight=torch.tensor([0.0, 1.0]))
    held_out = points(2, 100)
    only = held_out.take(np.flatnonzero(held_out.labels == 0))  # a weighted mean over classes that weigh nothing: 0/0
    data = TrainingData(task=TASK, train=points(1, 257), validation=only)
    objective = Objective(loss=of_labels(weighted), criterion=weighted)
    _, trained = train(tmp_path / "a", settings(), data=data, objective=objective)
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

    _, trained = train(tmp_path / "a", settings(), objective=Objective(loss=of_labels(smooth), criterion=smooth))
    assert trained.final.loss is not None
