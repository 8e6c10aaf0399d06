"""Losses of a regression: squared errors, and squared distances from a teacher's answers, in units of the spread."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.tasks.loss import Criterion, Loss


def squared_error(
    outputs_BK: Tensor, targets_BK: Tensor, *, scale_K: Tensor, reduction: Literal["mean", "sum"] = "mean"
) -> Tensor:
    """The mean over outputs of the squared errors, each error divided by the spread of its targets.

    An error of 1 is then as large as a usual difference from the mean, whatever the unit is, so that learning rates
    suit targets in any unit; a network with a loss of 1 knows no more than the mean.

    Args:
        outputs_BK: outputs of the network, in their units.
        targets_BK: targets, in the same units.
        scale_K: spread of the targets of each output.
        reduction: reduction over the examples.
    """
    loss_B = ((outputs_BK - targets_BK) / scale_K.to(outputs_BK)).square().mean(dim=1)
    return loss_B.mean() if reduction == "mean" else loss_B.sum()


def absolute_error(outputs_BK: Tensor, targets_BK: Tensor, *, scale_K: Tensor, smooth: bool) -> Tensor:
    """The mean of the absolute errors, each divided by the spread of its targets: `torch.nn.L1Loss` in that unit.

    Args:
        outputs_BK: outputs of the network, in their units.
        targets_BK: targets, in the same units.
        scale_K: spread of the targets of each output.
        smooth: whether an error below the spread counts by half of its square (`torch.nn.SmoothL1Loss`).
    """
    errors_BK = (outputs_BK - targets_BK) / scale_K.to(outputs_BK)
    return F.smooth_l1_loss(errors_BK, torch.zeros_like(errors_BK)) if smooth else errors_BK.abs().mean()


def distillation(teacher_VNK: Tensor, *, scale_K: Tensor, label_weight: float, criterion: Criterion) -> Loss:
    """Make the loss of distillation: squared distances from the teacher's values, mixed with the targets' own loss.

    Args:
        teacher_VNK: outputs of the teacher per copy and example.
        scale_K: spread of the targets of each output.
        label_weight: share of the targets' own loss.
        criterion: loss of the targets.
    """

    def loss(outputs_BK: Tensor, targets_BK: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        soft = squared_error(outputs_BK, teacher_VNK[copy_B, indices_B], scale_K=scale_K)
        return torch.lerp(soft, criterion(outputs_BK, targets_BK), label_weight) if label_weight else soft

    return loss
