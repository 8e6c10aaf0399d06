"""Losses of a network that gives labels: binary cross-entropy, and divergence from a teacher's answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline._handlers.activation import Activation
from pipeline.tasks.loss import Criterion, Loss

# The outputs of a sigmoid are kept this far from 0 and 1: it is the last step of float32 below 1, a logit of about 16.
_EDGE = 2.0**-23


def labels_loss(
    outputs_BK: Tensor,
    labels_BK: Tensor,
    *,
    activation: Activation,
    label_smoothing: float = 0.0,
    weights_K: Tensor | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """The binary cross-entropy with the labels, in nats, as a mean over labels: `torch.nn.BCEWithLogitsLoss`.

    Args:
        outputs_BK: outputs of the network.
        labels_BK: 0 or 1 for each label.
        activation: activation that the outputs already have: none, or sigmoid.
        label_smoothing: share of the target that is spread over yes and no.
        weights_K: weight of the examples that have each label (`pos_weight`); 1 for all if None.
        reduction: reduction over the examples.
    """
    weights_K = None if weights_K is None else weights_K.to(outputs_BK)
    targets_BK = labels_BK.to(outputs_BK) * (1 - label_smoothing) + label_smoothing / 2
    logits_BK = outputs_BK if activation == "none" else outputs_BK.logit(eps=_EDGE)
    loss_BK = F.binary_cross_entropy_with_logits(logits_BK, targets_BK, reduction="none", pos_weight=weights_K)
    loss_B = loss_BK.mean(dim=1)
    return loss_B.mean() if reduction == "mean" else loss_B.sum()


def f1_sum(outputs_BK: Tensor, labels_BK: Tensor, *, activation: Activation, thresholds: Sequence[float]) -> Tensor:
    """The sum over examples of the F1 score of their labels, a scalar; it is computed where the outputs lie.

    Args:
        outputs_BK: outputs of the network.
        labels_BK: 0 or 1 for each label.
        activation: activation that the outputs already have: none, or sigmoid.
        thresholds: probability from which a label is given; one for all, or one per label.
    """
    shares_BK = outputs_BK if activation == "sigmoid" else outputs_BK.sigmoid()
    given_BK, right_BK = shares_BK >= shares_BK.new_tensor(list(thresholds)), labels_BK.bool()
    sizes_B = given_BK.sum(dim=1) + right_BK.sum(dim=1)
    both_B = (given_BK & right_BK).sum(dim=1)
    scores_B = torch.where(sizes_B > 0, 2 * both_B / sizes_B.clamp_min(1), 1.0)
    return scores_B.sum()


def distillation(
    teacher_VNK: Tensor, *, temperature: float, label_weight: float, criterion: Criterion, activation: Activation
) -> Loss:
    """Make the loss of distillation: divergence from the teacher's softened probability of each label, as a mean.

    Each label is a decision between two on its own, whose divergence is that of Bernoulli distributions; it is
    multiplied by the temperature squared, as in Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2.

    Args:
        teacher_VNK: outputs of the teacher per copy and example.
        temperature: temperature of both networks' sigmoid.
        label_weight: share of the labels' own loss.
        criterion: loss of the labels.
        activation: activation that the outputs of both networks already have.
    """
    teacher = _logits(teacher_VNK, activation) / temperature

    def loss(outputs_BK: Tensor, labels_BK: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        wanted_BK, answers_BK = teacher[copy_B, indices_B], _logits(outputs_BK, activation) / temperature
        yes_BK = torch.sigmoid(wanted_BK)
        soft = (
            yes_BK * (F.logsigmoid(wanted_BK) - F.logsigmoid(answers_BK))
            + (1 - yes_BK) * (F.logsigmoid(-wanted_BK) - F.logsigmoid(-answers_BK))
        ).mean() * temperature**2
        return torch.lerp(soft, criterion(outputs_BK, labels_BK), label_weight) if label_weight else soft

    return loss


def _logits(outputs: Tensor, activation: Activation) -> Tensor:
    return outputs if activation == "none" else outputs.logit(eps=_EDGE)
