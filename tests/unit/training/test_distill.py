"""Distillation fine-tunes a network on a few hundred tiny pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.outputs import OutputSpec
from pipeline.data.dataset import Split
from pipeline.engine.stage import Silent
from pipeline.errors import UsageError
from pipeline.models.preprocess import ToFloat
from pipeline.models.spec import ModelSpec, joined
from pipeline.tasks.classification.loss import distillation
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.augment import Augmentation
from pipeline.training.distill import Teaching, distill, fine_tuning, read_teacher_logits, write_teacher_logits
from pipeline.training.loop import Trained
from pipeline.training.settings import Session, TrainingData
from tests.reporters import Lines

SPEC = ModelSpec(
    name="m",
    build=lambda: nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.1), nn.Linear(8, 3)),
    preprocess=ToFloat,
    inputs=(InputSpec(name="x", dtype="uint8", shape=(1, 2, 3), low=0, high=9),),
    labels=("a", "b", "c"),
)


class KilledError(Exception):
    """An error that a reporter raises in the middle of a training."""


class Killer(Silent):
    """A reporter that ends the training after an epoch."""

    def log(self, message: str) -> None:
        if "epoch 2/3" in message:
            raise KilledError


def split(seed: int, count: int, labels: int | None = None) -> Split:
    raw = np.random.default_rng(seed).integers(0, 10, size=(count, 1, 2, 3)).astype(np.uint8)
    true = raw.reshape(count, 3, 2).sum(axis=2).argmax(axis=1).astype(np.int64)
    return Split(inputs={"x": raw}, labels=true if labels is None else np.full_like(true, labels))


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return SPEC.build()


def tuned(folder: Path, reporter: Any = None, *, flip: bool = True, **changes: Any) -> tuple[nn.Module, Trained]:
    folder.mkdir(exist_ok=True)
    student, train = changes.pop("student", network(1)), changes.pop("train", split(0, 257))
    augmentation = Augmentation(horizontal_flip=flip)
    answers = teacher_logits(folder / "teacher", SPEC, network(0).eval(), train, augmentation=augmentation)
    defaults: dict[str, Any] = {"epochs": 3, "batch_size": 32, "learning_rate": 0.05, "seed": 0}
    defaults |= {"temperature": 4.0, "label_weight": 0.0}
    chosen = {**defaults, **changes}
    trained = distill(
        SPEC,
        student,
        data=TrainingData(task=ClassificationTask(), train=train, validation=split(2, 100)),
        teaching=Teaching(
            answers=answers,
            temperature=chosen.pop("temperature"),
            label_weight=chosen.pop("label_weight"),
            criterion=F.cross_entropy,
            metric="accuracy",
        ),
        settings=fine_tuning(augmentation=augmentation, device="cpu", **chosen),
        session=Session(scratch=folder, reporter=reporter or Silent(), purpose="fine-tune slim"),
    )
    return student, trained


def teacher_logits(
    file: Path, spec: ModelSpec, teacher: nn.Module, train: Split, *, augmentation: Augmentation
) -> Tensor:
    write_teacher_logits(file, spec, teacher, train, augmentation=augmentation, device="cpu")
    return read_teacher_logits(file)


def bits(module: nn.Module) -> list[Tensor]:
    return list(module.state_dict().values())


def same(left: nn.Module, right: nn.Module) -> bool:
    return all(torch.equal(value, counterpart) for value, counterpart in zip(bits(left), bits(right), strict=True))


def test_the_teacher_is_asked_once_about_each_picture_and_its_mirror_image(tmp_path: Path) -> None:
    teacher, train = network(0).eval(), split(0, 40)
    raw = torch.from_numpy(train.inputs["x"]).float()
    augmentation = Augmentation(horizontal_flip=True)
    answers = teacher_logits(tmp_path / "teacher", SPEC, teacher, train, augmentation=augmentation)
    assert answers.shape == (2, 40, 3)
    with torch.no_grad():
        assert torch.allclose(answers[0], teacher(raw), atol=1e-5)
        assert torch.allclose(answers[1], teacher(raw.flip(-1)), atol=1e-5)


def test_the_loss_is_hintons() -> None:
    answers, logits = torch.randn(2, 5, 3), torch.randn(2, 3)
    labels, indices, copy = torch.tensor([0, 2]), torch.tensor([4, 1]), torch.tensor([1, 0])
    expected = torch.stack([answers[1, 4], answers[0, 1]])
    before, after = (expected / 2).softmax(1), (logits / 2).softmax(1)
    soft = 4 * (before * (before.log() - after.log())).sum(1).mean()
    hard = -logits.log_softmax(1)[torch.arange(2), labels].mean()
    loss = distillation(answers, temperature=2.0, label_weight=0.0)
    assert loss(logits, labels, indices, copy).item() == pytest.approx(soft.item(), rel=1e-5)
    mixed = distillation(answers, temperature=2.0, label_weight=0.25)
    assert mixed(logits, labels, indices, copy).item() == pytest.approx((0.75 * soft + 0.25 * hard).item(), rel=1e-5)


def test_it_comes_closer_to_the_teacher_without_any_label(tmp_path: Path) -> None:
    pictures = torch.from_numpy(split(2, 100).inputs["x"]).float()
    student, _ = tuned(tmp_path / "a", epochs=20, train=split(0, 257, labels=0))
    with torch.no_grad():
        expected = network(0).eval()(pictures).argmax(1)
        before = (network(1).eval()(pictures).argmax(1) == expected).float().mean()
        after = (student(pictures).argmax(1) == expected).float().mean()
    assert after > max(before, 0.8)


@pytest.mark.parametrize("flip", [False, True])
def test_it_is_bitwise_repeatable_and_a_seed_matters(tmp_path: Path, flip: bool) -> None:
    first, trained = tuned(tmp_path / "a", flip=flip)
    second, second_trained = tuned(tmp_path / "b", flip=flip)
    reseeded, _ = tuned(tmp_path / "c", flip=flip, seed=1)
    assert same(first, second)
    assert trained == second_trained
    assert not same(first, reseeded)
    assert not first.training
    assert first.get_submodule("3").p == 0.1, "dropout is off while it learns, and back afterwards"


def test_an_interrupted_one_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = tuned(tmp_path / "whole")
    with pytest.raises(KilledError):
        tuned(tmp_path / "cut", Killer())
    resumed, _ = tuned(tmp_path / "cut")
    assert same(whole, resumed)


def test_there_is_nothing_to_shift_in_a_table(tmp_path: Path) -> None:
    table = replace(SPEC, inputs=(InputSpec(name="x", dtype="float32", shape=(6,), low=0, high=1),))
    with pytest.raises(UsageError, match=r"fine-tune\.shift: expected an input of shape \(C, H, W\), found x \(6,\)"):
        teacher_logits(tmp_path / "teacher", table, network(0), split(0, 40), augmentation=Augmentation(shift=1))


class FrozenTrunk(nn.Module):
    """A network whose head alone is trained, as in transfer learning; its trunk has few channels left."""

    def __init__(self, *, no_grad: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.no_grad = no_grad
        self.trunk = nn.Sequential(nn.Flatten(), nn.Linear(6, 3), nn.BatchNorm1d(3), nn.ReLU())
        self.trunk.requires_grad_(requires_grad=False)
        self.head = nn.Linear(3, 3)
        # A table of whole numbers can take no gradient.
        self.table = nn.Parameter(torch.zeros(1, dtype=torch.int64), requires_grad=False)

    def train(self, mode: bool = True) -> FrozenTrunk:  # noqa: FBT002 - as torch declares it
        super().train(mode)
        self.trunk.eval()
        return self

    def forward(self, values: Tensor) -> Tensor:
        with torch.set_grad_enabled(not self.no_grad and torch.is_grad_enabled()):
            features = self.trunk(values)
        logits: Tensor = self.head(features)
        return logits


def test_what_the_user_froze_is_fine_tuned_with_the_rest(tmp_path: Path) -> None:
    """Only the whole network can win back what pruning lost; one whose forward pass keeps its trunk out says so."""
    lines = Lines()
    settings: dict[str, Any] = {"epochs": 8, "label_weight": 1.0, "flip": False}
    head_alone, before = tuned(tmp_path / "1", lines, student=FrozenTrunk(no_grad=True), **settings)
    whole, after = tuned(tmp_path / "2", Silent(), student=FrozenTrunk(), **settings)
    assert before.final.score == pytest.approx(0.4, abs=0.1)
    assert after.final.score == pytest.approx(0.95, abs=0.05)
    untouched = FrozenTrunk().state_dict()
    assert torch.equal(head_alone.state_dict()["trunk.1.weight"], untouched["trunk.1.weight"])
    assert not torch.equal(whole.state_dict()["trunk.1.weight"], untouched["trunk.1.weight"])
    assert not torch.equal(whole.state_dict()["trunk.2.running_mean"], untouched["trunk.2.running_mean"])
    trainable = [name for name, parameter in whole.named_parameters() if parameter.requires_grad]
    assert trainable == ["head.weight", "head.bias"]
    (line,) = [line for line in lines.said if "no gradient" in line]
    assert line.startswith("fine-tune slim: trunk.1.weight and 3 more got no gradient and stayed as pruned; without ")


class Heads(nn.Module):
    """A network with outputs of 3, 2 x 2 and one value."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 8)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        values_BK = self.head(x.flatten(1))
        return {"scores": values_BK[:, :3], "map": values_BK[:, 3:7].reshape(-1, 2, 2), "level": values_BK[:, 7]}


def test_answers_of_several_outputs_are_kept_side_by_side(tmp_path: Path) -> None:
    outputs = (
        OutputSpec(name="scores", shape=(3,)),
        OutputSpec(name="map", shape=(2, 2)),
        OutputSpec(name="level", shape=()),
    )
    spec = replace(SPEC, build=Heads, task="outputs", labels=("anything",)).with_outputs(outputs)
    teacher, train = Heads().eval(), split(0, 37)
    write_teacher_logits(
        tmp_path / "teacher", spec, teacher, train, augmentation=Augmentation(horizontal_flip=True), device="cpu"
    )
    logits_VNK = read_teacher_logits(tmp_path / "teacher")
    assert logits_VNK.shape == (2, 37, 8)
    with torch.no_grad():
        torch.testing.assert_close(
            logits_VNK[0], joined(list(teacher(torch.from_numpy(train.inputs["x"]).float()).values()))
        )
