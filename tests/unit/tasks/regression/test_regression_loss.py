"""Errors are divided by the spread of their targets, in training and in distillation."""

from __future__ import annotations

import pytest
import torch

from pipeline.tasks.regression.loss import distillation, squared_error
from pipeline.tasks.table import task_named

TARGETS = torch.tensor([[100.0, 0.001], [300.0, 0.003]])
SCALE = torch.tensor([100.0, 0.001])


def test_outputs_in_any_unit_count_alike() -> None:
    wrong = TARGETS + torch.tensor([50.0, 0.0005])
    assert squared_error(wrong, TARGETS, scale_K=SCALE).item() == pytest.approx(0.25)
    assert squared_error(wrong, TARGETS, scale_K=SCALE, reduction="sum").item() == pytest.approx(0.5)
    task = task_named("regression", {"tolerance": [1], "scale": [100.0, 0.001]})
    assert task.criterion(activation="none", label_smoothing=0.0)(wrong, TARGETS).item() == pytest.approx(0.25)
    assert task.plain_loss(wrong, TARGETS, activation="none").item() == pytest.approx(0.5)


def test_distillation_is_the_distance_from_the_teachers_values() -> None:
    teacher = torch.stack([TARGETS, TARGETS + SCALE])
    indices = torch.arange(2)
    loss = distillation(teacher, scale_K=SCALE, label_weight=0.0, criterion=torch.nn.functional.mse_loss)
    assert loss(TARGETS, TARGETS, indices, torch.tensor([0, 0])).item() == 0
    assert loss(TARGETS, TARGETS, indices, torch.tensor([0, 1])).item() == pytest.approx(0.5)
    mixed = distillation(
        teacher,
        scale_K=SCALE,
        label_weight=0.5,
        criterion=lambda outputs, targets: squared_error(outputs, targets, scale_K=SCALE),
    )
    assert mixed(TARGETS, TARGETS, indices, torch.tensor([1, 1])).item() == pytest.approx(0.5)


def test_the_score_of_a_batch_counts_examples_inside_the_tolerance() -> None:
    task = task_named("regression", {"tolerance": [10.0, 0.0005]})
    outputs = TARGETS + torch.tensor([[9.0, 0.0], [9.0, 0.0006]])
    assert task.score_sum(outputs, TARGETS, activation="none").item() == 1
