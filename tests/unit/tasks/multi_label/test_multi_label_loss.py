"""Losses of labels are torch's own, and distillation is 0 where both networks answer alike."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from pipeline._handlers.activation import Activation
from pipeline.tasks.multi_label.loss import distillation, labels_loss
from pipeline.tasks.table import task_named

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
LABELS = torch.tensor([[1, 0, 1], [0, 1, 1]], dtype=torch.uint8)


def test_it_is_the_binary_cross_entropy_of_logits_and_of_probabilities() -> None:
    expected = F.binary_cross_entropy_with_logits(LOGITS, LABELS.float()).item()
    assert labels_loss(LOGITS, LABELS, activation="none").item() == pytest.approx(expected)
    assert labels_loss(LOGITS.sigmoid(), LABELS, activation="sigmoid").item() == pytest.approx(expected, rel=1e-4)
    assert labels_loss(LOGITS, LABELS, activation="none", reduction="sum").item() == pytest.approx(2 * expected)
    smooth = F.binary_cross_entropy_with_logits(LOGITS, LABELS.float() * 0.8 + 0.1).item()
    assert labels_loss(LOGITS, LABELS, activation="none", label_smoothing=0.2).item() == pytest.approx(smooth)


def test_distillation_is_the_divergence_of_each_label_and_least_at_the_teachers_answers() -> None:
    loss = distillation(LOGITS[None], temperature=2.0, label_weight=0.0, criterion=F.mse_loss, activation="none")
    indices, copy = torch.arange(2), torch.zeros(2, dtype=torch.long)
    assert loss(LOGITS, LABELS, indices, copy).item() == pytest.approx(0, abs=1e-7)
    student = torch.zeros_like(LOGITS).requires_grad_()
    value = loss(student, LABELS, indices, copy)
    yes = (LOGITS / 2).sigmoid()
    expected = 4 * (yes * (yes / 0.5).log() + (1 - yes) * ((1 - yes) / 0.5).log()).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, student)
    assert bool((gradient.sign() == -(LOGITS.sign())).all())


def test_labels_are_mixed_in_by_their_weight() -> None:
    loss = distillation(
        LOGITS[None],
        temperature=1.0,
        label_weight=0.25,
        criterion=lambda outputs, labels: labels_loss(outputs, labels, activation="none"),
        activation="none",
    )
    value = loss(LOGITS, LABELS, torch.arange(2), torch.zeros(2, dtype=torch.long))
    assert value.item() == pytest.approx(0.25 * labels_loss(LOGITS, LABELS, activation="none").item(), rel=1e-5)


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
def test_scores_of_a_batch_are_those_of_the_judgement(activation: Activation) -> None:
    task = task_named("multi-label", {"threshold": [0.5, 0.3, 0.12]})
    random = torch.Generator().manual_seed(1)
    outputs, labels = torch.randn(200, 3, generator=random), torch.rand(200, 3, generator=random) < 0.2
    outputs = outputs if activation == "none" else outputs.sigmoid()
    expected = task.scores(outputs.numpy(), labels.numpy(), activation=activation).sum()
    assert task.score_sum(outputs, labels, activation=activation).item() == pytest.approx(expected, rel=1e-6)
