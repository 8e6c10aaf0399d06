"""Losses that a classifier minimises: cross-entropy with the labels, and divergence from a teacher's answers."""

from __future__ import annotations

from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline._handlers.activation import Activation
from pipeline.tasks.loss import Criterion, Loss

# A softmax rounds small probabilities to 0, where the logarithm has no gradient. This is the smallest number that
# float32 holds in full; for a smaller p, 1 / p is too large for float32.
_SMALLEST = torch.finfo(torch.float32).tiny
# The outputs of a sigmoid are kept this far from 0 and 1: it is the last step of float32 below 1, a logit of about 16.
_EDGE = 2.0**-23


def labels_loss(
    outputs_BK: Tensor,
    labels_B: Tensor,
    *,
    activation: Activation,
    label_smoothing: float = 0.0,
    weights_K: Tensor | None = None,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """The negative log-likelihood of the labels, in nats: the cross-entropy of logits or probabilities.

    The outputs of a sigmoid answer as many yes-or-no questions as there are classes; their logarithms add up.

    Args:
        outputs_BK: outputs of the network.
        labels_B: class indices.
        activation: activation that the outputs already have.
        label_smoothing: share of the target that is spread over all classes.
        weights_K: weight of each class; a mean is over the weights of the labels. All count alike if None.
        reduction: reduction over the examples.
    """
    weights_K = None if weights_K is None else weights_K.to(outputs_BK)
    match activation:
        case "none":
            logits_BK = outputs_BK
        case "softmax":
            # The softmax of these gives the outputs again.
            logits_BK = outputs_BK.clamp_min(_SMALLEST).log()
        case "sigmoid":
            classes = outputs_BK.shape[1]
            targets_BK = F.one_hot(labels_B, classes).to(outputs_BK) * (1 - label_smoothing) + label_smoothing / classes
            # `F.binary_cross_entropy` raises on NaN, for which the training loop has a better message.
            yes_BK, no_BK = (shares.clamp_min(_SMALLEST).log() for shares in (outputs_BK, 1 - outputs_BK))
            loss_BK = targets_BK * yes_BK + (1 - targets_BK) * no_BK
            if weights_K is not None:
                weights_B = weights_K[labels_B]
                loss = -(loss_BK.sum(dim=1) * weights_B).sum()
                return loss / weights_B.sum() if reduction == "mean" else loss
            loss = -loss_BK.sum()
            return loss / len(labels_B) if reduction == "mean" else loss
        case _:
            assert_never(activation)
    return F.cross_entropy(logits_BK, labels_B, weight=weights_K, label_smoothing=label_smoothing, reduction=reduction)


def binary_loss(
    logits_BK: Tensor, labels_B: Tensor, *, label_smoothing: float = 0.0, weights_K: Tensor | None = None
) -> Tensor:
    """The binary cross-entropy of each logit with "it is this class", in nats, as a mean over classes and examples.

    It is `torch.nn.BCEWithLogitsLoss` on one-hot targets.

    Args:
        logits_BK: outputs of the network, without an activation.
        labels_B: class indices.
        label_smoothing: share of the target that is spread over all classes.
        weights_K: weight of the examples of each class, whose mean is over the weights; all count alike if None.
    """
    classes = logits_BK.shape[1]
    targets_BK = F.one_hot(labels_B, classes).to(logits_BK) * (1 - label_smoothing) + label_smoothing / classes
    loss_B = F.binary_cross_entropy_with_logits(logits_BK, targets_BK, reduction="none").mean(dim=1)
    if weights_K is None:
        return loss_B.mean()
    weights_B = weights_K.to(logits_BK)[labels_B]
    return (loss_B * weights_B).sum() / weights_B.sum()


def distillation(
    teacher_VNK: Tensor,
    *,
    temperature: float,
    label_weight: float,
    criterion: Criterion = F.cross_entropy,
    activation: Activation = "none",
) -> Loss:
    """Make the loss of distillation: divergence from the teacher's softened answers, mixed with the labels' own loss.

    The divergence is multiplied by the temperature squared.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2.

    Args:
        teacher_VNK: outputs of the teacher per copy and example.
        temperature: temperature of both networks' softmax or sigmoid.
        label_weight: share of the labels' own loss.
        criterion: loss of the labels.
        activation: activation that the outputs of both networks already have.
    """

    def loss(outputs_BK: Tensor, labels_B: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        answers_BC = _soften(outputs_BK, temperature, activation)
        # They are softened batch by batch, because all of them together may be larger than memory.
        targets_BC = _soften(teacher_VNK[copy_B, indices_B], temperature, activation)
        soft = F.kl_div(answers_BC, targets_BC, log_target=True, reduction="batchmean")
        soft = soft * temperature**2
        return torch.lerp(soft, criterion(outputs_BK, labels_B), label_weight) if label_weight else soft

    return loss


def _soften(outputs: Tensor, temperature: float, activation: Activation) -> Tensor:
    """Logarithms of the probabilities at a temperature, (..., K); for a sigmoid also of the opposite, (..., 2 K)."""
    match activation:
        case "none":
            return F.log_softmax(outputs / temperature, dim=-1)
        case "softmax":
            return F.log_softmax(outputs.clamp_min(_SMALLEST).log() / temperature, dim=-1)
        case "sigmoid":
            logits = outputs.logit(eps=_EDGE) / temperature
            return torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=-1)
        case _:
            assert_never(activation)
