"""The built-in losses are torch's, where a task has them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import UsageError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import Classification, MultiLabel, Outputs, Regression, TaskSettings, losses_of
from pipeline.tasks.table import task_of
from pipeline.training.loss import loss_name

SCALE = torch.tensor([2.0, 5.0])
LOGITS, LABELS = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 1, 0])
VALUES, TARGETS = torch.randn(6, 2), torch.randn(6, 2)
MAPS = torch.randn(6, 3 * 5 * 5)
ONE = (OutputSpec(name="map", shape=(3, 5, 5)),)


def criterion(settings: TaskSettings, loss: LossName, outputs: tuple[OutputSpec, ...] = (), **changes: Any) -> Any:
    task = task_of(settings, outputs=outputs)
    return task.criterion(**{"activation": "none", "label_smoothing": 0.0, "loss": loss, **changes})


def test_a_classifier_has_two() -> None:
    assert torch.equal(criterion(Classification(), "cross-entropy")(LOGITS, LABELS), F.cross_entropy(LOGITS, LABELS))
    one_hot = F.one_hot(LABELS, 4).float()
    binary = criterion(Classification(), "bce-with-logits")
    assert torch.allclose(binary(LOGITS, LABELS), F.binary_cross_entropy_with_logits(LOGITS, one_hot))
    smooth = criterion(Classification(), "bce-with-logits", label_smoothing=0.2)
    expected = F.binary_cross_entropy_with_logits(LOGITS, one_hot * 0.8 + 0.05)
    assert torch.allclose(smooth(LOGITS, LABELS), expected)
    weights_K = torch.tensor([1.0, 2.0, 3.0, 0.0])
    weighted = criterion(Classification(), "bce-with-logits", weights_K=weights_K)
    losses_B = F.binary_cross_entropy_with_logits(LOGITS, one_hot, reduction="none").mean(1)
    assert torch.allclose(weighted(LOGITS, LABELS), (losses_B * weights_K[LABELS]).sum() / weights_K[LABELS].sum())
    with pytest.raises(UsageError, match="bce-with-logits: expected logits, found outputs of a softmax"):
        criterion(Classification(), "bce-with-logits", activation="softmax")


def test_a_tagger_has_one() -> None:
    labels = torch.randint(0, 2, (6, 4))
    loss = criterion(MultiLabel(), "bce-with-logits")(LOGITS, labels)
    assert torch.allclose(loss, F.binary_cross_entropy_with_logits(LOGITS, labels.float()))


def test_a_regression_has_three_in_units_of_the_spread() -> None:
    settings = Regression(tolerance=(1.0,), center=(0.0,), scale=(2.0, 5.0))
    losses = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth-l1": F.smooth_l1_loss}
    assert tuple(losses) == losses_of(settings)
    for name in losses_of(settings):
        loss = criterion(settings, name)(VALUES, TARGETS)
        assert torch.allclose(loss, losses[name](VALUES / SCALE, TARGETS / SCALE)), name


@pytest.mark.parametrize("loss", losses_of(Outputs()))
def test_one_output_of_any_shape_has_all(loss: LossName) -> None:
    targets: dict[LossName, Tensor] = {
        "cross-entropy": torch.randint(0, 3, (6, 5, 5)),
        "bce-with-logits": torch.randint(0, 2, (6, 3, 5, 5)),
    }
    functions: dict[LossName, Any] = {
        "cross-entropy": F.cross_entropy,
        "bce-with-logits": lambda logits, labels: F.binary_cross_entropy_with_logits(logits, labels.float()),
        "mse": F.mse_loss,
        "l1": F.l1_loss,
        "smooth-l1": F.smooth_l1_loss,
    }
    labels = targets.get(loss, torch.randn(6, 3, 5, 5))
    value = criterion(Outputs(), loss, ONE)(MAPS, labels)
    assert torch.allclose(value, functions[loss](MAPS.reshape(6, 3, 5, 5), labels))
    with pytest.raises(UsageError, match=rf"train\.loss {loss}: expected targets \(6, .* found \(6, 7\)"):
        criterion(Outputs(), loss, ONE)(MAPS, torch.zeros(6, 7))


def test_several_outputs_need_a_loss_of_the_users() -> None:
    two = (OutputSpec(name="a", shape=(2,)), OutputSpec(name="b", shape=(3,)))
    with pytest.raises(UsageError, match=r"expected a network with one output, found 2 \(a, b\); give your own loss"):
        criterion(Outputs(), "mse", two)(torch.zeros(6, 5), torch.zeros(6, 5))


@pytest.mark.parametrize("settings", [Classification(), MultiLabel(), Regression(tolerance=(1.0,), scale=(1.0,))])
def test_a_loss_that_a_task_does_not_have_is_refused(settings: TaskSettings) -> None:
    names: tuple[LossName, ...] = losses_of(Outputs())
    for name in names:
        if name not in losses_of(settings):
            with pytest.raises(UsageError, match=rf"train\.loss {name}: expected .* in the task {settings.kind}"):
                criterion(settings, name)


def test_its_name_stands_at_the_curves() -> None:
    classes, values = task_of(Classification()), task_of(Regression(tolerance=(1.0,)))
    assert loss_name(None, task=classes, label_smoothing=0.1) == "cross-entropy with label smoothing 0.1, in nats"
    assert loss_name("bce-with-logits", task=classes, label_smoothing=0.0) == "binary cross-entropy in nats"
    named = loss_name("cross-entropy", task=classes, label_smoothing=0.0, weighted=True)
    assert named == "class-weighted cross-entropy in nats"
    assert loss_name("l1", task=values, label_smoothing=0.0) == "absolute error in units of the targets' spread"
    assert loss_name("mine:loss", task=values, label_smoothing=0.0) == "train.loss mine:loss"
