"""The user's own loss, from a module of theirs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from pipeline.errors import RecipeError
from pipeline.recipe import Train
from pipeline.training.loss import distillation, load_criterion

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
    smooth = load_criterion(None, folder, label_smoothing=0.2)
    assert torch.equal(smooth(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, label_smoothing=0.2))
    own = load_criterion("my_losses:weighted", folder)
    assert torch.equal(own(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS, weight=torch.tensor([1.0, 3.0])))


def test_distillation_takes_it_for_the_share_of_the_labels(folder: Path) -> None:
    own = load_criterion("my_losses:weighted", folder)
    loss = distillation(torch.zeros(1, 2, 2), temperature=4.0, label_weight=1.0, criterion=own)
    zeros = torch.zeros(2, dtype=torch.int64)
    assert torch.equal(loss(LOGITS, LABELS, torch.arange(2), zeros), own(LOGITS, LABELS))


def test_what_is_no_loss_is_refused(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"my_losses:number: expected a function that returns a loss.*returned int"):
        load_criterion("my_losses:number", folder)
    per_example = load_criterion("my_losses:per_example", folder)
    with pytest.raises(RecipeError, match=r"expected a floating-point scalar, found torch.float32 \(2,\)"):
        per_example(LOGITS, LABELS)
    with pytest.raises(ValueError, match=r"label_smoothing = 0\.1 with loss my_losses:weighted: expected 0"):
        Train(loss="my_losses:weighted", label_smoothing=0.1)
