"""The loss of outputs of any kind: the squared difference from a teacher's values, each output by its own spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline._handlers.outputs import OutputSpec
from pipeline.tasks.loss import Criterion, Loss


def no_loss(_outputs_BK: Tensor, _labels_B: Tensor) -> Tensor:
    """Stand for the loss of labels where the recipe gives none: there is nothing that every such network is for."""
    raise NotImplementedError("the task outputs has no loss of its own")


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
