"""Weights of classes: from the recipe, or from the training data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline._handlers.activation import Activation
from pipeline.errors import UsageError
from pipeline.recipe.task import Classification, MultiLabel, Regression
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.multi_label.member import MultiLabelTask
from pipeline.training.class_weights import class_weights

LABELS = np.array([0] * 6 + [1] * 3 + [2])
NAMES = ("shirt", "coat", "bag", "boot")


def made(weights: Any, **changes: Any) -> Any:
    return class_weights(weights, **{"task": Classification(), "targets": LABELS, "names": NAMES, **changes})


def test_balanced_weights_are_those_of_the_field() -> None:
    assert made(None) is None
    expected = [10 / (4 * 6), 10 / (4 * 3), 10 / (4 * 1), 1.0]  # as in scikit-learn; the last class has no examples
    assert made("balanced").tolist() == pytest.approx(expected)
    targets = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.uint8)
    balanced = made("balanced", task=MultiLabel(), targets=targets, names=("a", "b", "c"))
    assert balanced.tolist() == pytest.approx([1 / 3, 3.0, 1.0])


def test_weights_by_name_are_1_for_the_others() -> None:
    assert made({"bag": 3, "coat": 0.5}).tolist() == [1.0, 0.5, 3.0, 1.0]
    with pytest.raises(UsageError, match=r"expected names of the data's classes, found bags; did you mean bag\?"):
        made({"bags": 3})
    with pytest.raises(UsageError, match="there are shirt, coat, bag, boot"):
        made({"xxx": 3})
    with pytest.raises(UsageError, match="the targets of a regression are values, which have no classes"):
        made("balanced", task=Regression(tolerance=(1.0,)))


@pytest.mark.parametrize("activation", ["none", "softmax", "sigmoid"])
def test_a_weighted_loss_is_torchs(activation: Activation) -> None:
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 1, 0])
    weights_K = torch.tensor([1.0, 2.0, 0.0, 4.0])
    criterion = ClassificationTask().criterion(activation=activation, label_smoothing=0.0, weights_K=weights_K)
    if activation == "sigmoid":
        targets = F.one_hot(labels, 4).float()
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(1)
        outputs, expected = logits.sigmoid(), (losses * weights_K[labels]).sum() / weights_K[labels].sum()
    else:
        outputs = logits if activation == "none" else logits.softmax(1)
        expected = F.cross_entropy(logits, labels, weight=weights_K)
    assert criterion(outputs, labels).item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_label_that_weighs_more_weighs_more_where_it_is_there() -> None:
    logits, labels = torch.randn(5, 3), torch.randint(0, 2, (5, 3))
    weights_K = torch.tensor([1.0, 5.0, 0.5])
    criterion = MultiLabelTask().criterion(activation="none", label_smoothing=0.0, weights_K=weights_K)
    expected = F.binary_cross_entropy_with_logits(logits, labels.float(), pos_weight=weights_K)
    assert criterion(logits, labels).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_label_that_all_examples_have_weighs_as_much_as_others() -> None:
    targets = np.array([[1, 1], [1, 0], [1, 0]], dtype=np.uint8)
    assert made("balanced", task=MultiLabel(), targets=targets, names=("a", "b")).tolist() == [1.0, 2.0]
