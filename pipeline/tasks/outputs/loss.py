"""The loss of outputs of any kind: the squared difference from a teacher's values, each output by its own spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import UsageError
from pipeline.recipe.names import LossName
from pipeline.tasks.loss import Criterion, Loss


def no_loss(_outputs_BK: Tensor, _labels_B: Tensor) -> Tensor:
    """Stand for the loss of labels where the recipe gives none: there is nothing that every such network is for."""
    raise NotImplementedError("the task outputs has no loss of its own")


def built_in_loss(outputs_BK: Tensor, labels_B: Tensor, *, loss: LossName, outputs: Sequence[OutputSpec]) -> Tensor:
    """A loss of torch's, as a mean over all values, of a network that has one output.

    Args:
        outputs_BK: the output's values, in one row for each example.
        labels_B: targets as the data have them: of the output's own shape, or for the cross-entropy class indices, of
            that shape without its axis of classes, the first behind the examples.
        loss: name of the loss.
        outputs: outputs of the network.

    Raises:
        UsageError: there are several outputs, or targets of another shape.
    """
    if len(outputs) != 1:
        names = ", ".join(output.name for output in outputs)
        raise UsageError(
            f"train.loss {loss}: expected a network with one output, found {len(outputs)} ({names}); give your own "
            "loss as module:function, which gets them by name"
        )
    values = outputs_BK.reshape(len(outputs_BK), *outputs[0].shape)
    expected = (values.shape[0], *values.shape[2:]) if loss == "cross-entropy" else tuple(values.shape)
    if tuple(labels_B.shape) != expected:
        raise UsageError(
            f"train.loss {loss}: expected targets {expected} for an output {tuple(values.shape)}, found "
            f"{tuple(labels_B.shape)}; give the data such targets, or your own loss as module:function"
        )
    match loss:
        case "mse":
            return F.mse_loss(values, labels_B.to(values))
        case "l1":
            return F.l1_loss(values, labels_B.to(values))
        case "smooth-l1":
            return F.smooth_l1_loss(values, labels_B.to(values))
        case "bce-with-logits":
            return F.binary_cross_entropy_with_logits(values, labels_B.to(values))
        case "cross-entropy":
            return F.cross_entropy(values, labels_B.long())
        case _:
            assert_never(loss)


def distillation(
    teacher_VNK: Tensor, *, outputs: Sequence[OutputSpec], label_weight: float, criterion: Criterion
) -> Loss:
    """Make the loss of distillation of values, mixed with the labels' own loss where there is one.

    Each output counts alike, whatever its unit and its number of values: its squared differences are divided by the
    variance of the teacher's values of it.

    Args:
        teacher_VNK: outputs of the teacher per copy and example.
        outputs: outputs that lie in the columns.
        label_weight: share of the labels' own loss.
        criterion: loss of the labels; `no_loss` where there is none.
    """
    weights_K = torch.cat(
        [
            torch.full((part.shape[-1],), 1.0 / (len(outputs) * part.shape[-1] * _variance(part)))
            for part in torch.split(teacher_VNK, [output.size for output in outputs], dim=-1)
        ]
    ).to(teacher_VNK.device)

    def loss(outputs_BK: Tensor, labels_B: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        apart_BK = outputs_BK - teacher_VNK[copy_B, indices_B]
        soft = (apart_BK.square() * weights_K).sum(dim=1).mean()
        if not label_weight or criterion is no_loss:
            return soft
        return torch.lerp(soft, criterion(outputs_BK, labels_B), label_weight)

    return loss


def _variance(values: Tensor) -> float:
    """The variance of the teacher's values of an output; 1 where they are all alike."""
    return float(values.double().var(unbiased=False)) or 1.0
