"""What training minimises: cross-entropy with the labels, or the user's own loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import RecipeError
from pipeline.user_code import import_factory

# From logits (B, K) and labels (B,) int64 to a scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]
# The same, also from indices of the examples (B,) and which copy of each it was (B,), None without copies.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]


def load_criterion(factory: str | None, folder: Path, *, label_smoothing: float = 0.0) -> Criterion:
    """Cross-entropy, or what the user's function returns.

    Args:
        factory: `module:function`, called without arguments; None for cross-entropy.
        folder: of the recipe; the user's modules are looked up there.
        label_smoothing: of the cross-entropy: share of the target spread over all classes.

    Returns:
        A function of logits and labels. It raises RecipeError where the user's gives no scalar.

    Raises:
        RecipeError: no such function, or what it returns cannot be called.
    """
    if factory is None:
        return partial(F.cross_entropy, label_smoothing=label_smoothing)
    made = import_factory(factory, folder)()
    if not callable(made):
        raise RecipeError(
            f"train.loss {factory}: expected a function that returns a loss, to be called with logits and labels; it "
            f"returned {type(made).__name__}"
        )

    def criterion(logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        if isinstance(made, nn.Module):
            made.to(logits_BK.device)  # class weights, for example
        found = made(logits_BK, labels_B)
        if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
            shown = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise RecipeError(f"train.loss {factory}: expected a floating-point scalar, found {shown}")
        return found

    return criterion


def loss_name(factory: str | None, *, label_smoothing: float) -> str:
    """What training minimises, in words for people; arguments as for `load_criterion`."""
    if factory is not None:
        return f"train.loss {factory}"
    smoothing = f" with label smoothing {label_smoothing:g}," if label_smoothing else ""
    return f"cross-entropy{smoothing} in nats"


def of_labels(criterion: Criterion) -> Loss:
    """A loss that looks at nothing but answers and labels."""

    def loss(logits_BK: Tensor, labels_B: Tensor, _indices_B: Tensor, _copy_B: Tensor | None) -> Tensor:
        return criterion(logits_BK, labels_B)

    return loss


def distillation(
    teacher_VNK: Tensor, *, temperature: float, label_weight: float, criterion: Criterion = F.cross_entropy
) -> Loss:
    """Divergence from the teacher's softened answers, times the temperature squared, mixed with the labels' own loss.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2.

    Args:
        teacher_VNK: logits per copy and example.
        temperature: of both networks' softmax.
        label_weight: share of the labels' own loss.
        criterion: that loss.
    """
    targets_VNK = F.log_softmax(teacher_VNK / temperature, dim=-1)

    def loss(logits_BK: Tensor, labels_B: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        answers_BK = F.log_softmax(logits_BK / temperature, dim=-1)
        soft = F.kl_div(answers_BK, targets_VNK[copy_B, indices_B], log_target=True, reduction="batchmean")
        soft = soft * temperature**2
        return torch.lerp(soft, criterion(logits_BK, labels_B), label_weight) if label_weight else soft

    return loss
