"""Training may minimise the user's own loss, from a module of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pipeline._handlers.activation import Activation
from pipeline.errors import UsageError
from pipeline.recipe.train import Train
from pipeline.tasks.classification.loss import distillation, labels_loss
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.training.loss import load_criterion

TASK = ClassificationTask()
LOGITS, LABELS = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])

SOURCE = """
import torch

def weighted():
    return torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0]))

def per_example():
    return torch.nn.CrossEntropyLoss(reduction="none")

def number():
    return 3
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "my_losses.py").write_text(SOURCE)
    return tmp_path


def test_cross_entropy_unless_the_user_says_otherwise(folder: Path) -> None:
    smooth = load_criterion(None, folder, task=TASK, label_smoothing=0.2)
    assert torch.equal(smooth(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2))
    own = load_criterion("my_losses:weighted", folder, task=TASK)
    assert torch.equal(own(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, weight=torch.tensor([1.0, 3.0])))


def test_distillation_takes_it_for_the_share_of_the_labels(folder: Path) -> None:
    own = load_criterion("my_losses:weighted", folder, task=TASK)
    loss = distillation(torch.zeros(1, 2, 2), temperature=4.0, label_weight=1.0, criterion=own)
    zeros = torch.zeros(2, dtype=torch.int64)
    assert torch.equal(loss(LOGITS, LABELS, torch.arange(2), zeros), own(LOGITS, LABELS))


def test_what_is_no_loss_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"my_losses:number: expected a function that returns a loss.*returned int"):
        load_criterion("my_losses:number", folder, task=TASK)
    per_example = load_criterion("my_losses:per_example", folder, task=TASK)
    with pytest.raises(UsageError, match=r"expected a floating-point scalar, found torch.float32 \(2,\)"):
        per_example(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"label_smoothing = 0\.1 with loss my_losses:weighted: expected 0"):
        Train(loss="my_losses:weighted", label_smoothing=0.1)


def test_probabilities_are_trained_on_their_logarithms() -> None:
    logits = torch.randn(4, 3, requires_grad=True)
    labels = torch.tensor([0, 2, 1, 0])
    for smoothing in (0.0, 0.2):
        expected = F.cross_entropy(logits, labels, label_smoothing=smoothing)
        loss = labels_loss(logits.softmax(1), labels, activation="softmax", label_smoothing=smoothing)
        assert torch.allclose(loss, expected)
        [gradient], [expected_gradient] = (
            torch.autograd.grad(value, logits, retain_graph=True) for value in (loss, expected)
        )
        assert torch.allclose(gradient, expected_gradient, atol=1e-6)
    binary = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, 3).float(), reduction="sum")
    assert torch.allclose(labels_loss(logits.sigmoid(), labels, activation="sigmoid"), binary / 4)
    assert torch.allclose(labels_loss(logits.sigmoid(), labels, activation="sigmoid", reduction="sum"), binary)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_probabilities_that_were_rounded_to_0_and_1_train_without_infinities(activation: Activation) -> None:
    logits = torch.tensor([[200.0, -200.0, -95.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    outputs = logits.softmax(1) if activation == "softmax" else logits.sigmoid()
    loss = labels_loss(outputs, torch.tensor([1, 0]), activation=activation)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert labels_loss(outputs * torch.nan, torch.tensor([1, 0]), activation=activation).isnan()


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_a_teacher_of_probabilities_teaches_what_its_logits_would(activation: Activation) -> None:
    teacher, logits = torch.randn(2, 5, 3), torch.randn(2, 3)
    labels, indices, copy = torch.tensor([0, 2]), torch.tensor([4, 1]), torch.tensor([1, 0])
    chosen = torch.stack([teacher[1, 4], teacher[0, 1]])
    if activation == "softmax":
        before, after = (chosen / 2).softmax(1), (logits / 2).softmax(1)
        expected = 4 * (before * (before / after).log()).sum(1).mean()
        loss = distillation(teacher.softmax(-1), temperature=2.0, label_weight=0.0, activation=activation)
        assert loss(logits.softmax(1), labels, indices, copy).item() == pytest.approx(expected.item(), rel=1e-4)
    else:
        before, after = (chosen / 2).sigmoid(), (logits / 2).sigmoid()
        parts = before * (before / after).log() + (1 - before) * ((1 - before) / (1 - after)).log()
        loss = distillation(teacher.sigmoid(), temperature=2.0, label_weight=0.0, activation=activation)
        expected = 4 * parts.sum(1).mean()
        assert loss(logits.sigmoid(), labels, indices, copy).item() == pytest.approx(expected.item(), rel=1e-4)
