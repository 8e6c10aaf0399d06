"""What training minimises: cross-entropy with the labels, or the user's own loss."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.activation import Activation
from pipeline.engine.user_code import import_factory
from pipeline.errors import UsageError

# From the network's outputs (B, K) and labels (B,) int64 to a scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]
# The same, also from indices of the examples (B,) and which copy of each it was (B,), None without copies.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]

# A softmax rounds small probabilities to 0, where the logarithm has no gradient. Below this one, the smallest that
# float32 holds in full, 1 / p is too large for float32.
_SMALLEST = torch.finfo(torch.float32).tiny
# How near to 0 and 1 the outputs of a sigmoid count: the last step of float32 below 1, a logit of about 16.
_EDGE = 2.0**-23


def labels_loss(
    outputs_BK: Tensor,
    labels_B: Tensor,
    *,
    activation: Activation,
    label_smoothing: float = 0.0,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Negative log-likelihood of the labels, in nats: the cross-entropy, of what the network's outputs are.

    Those of a sigmoid answer as many yes-or-no questions as there are classes; their logarithms add up.

    Args:
        outputs_BK: of the network.
        labels_B: class indices.
        activation: what the outputs are already.
        label_smoothing: share of the target spread over all classes.
        reduction: over the examples.
    """
    match activation:
        case "none":
            logits_BK = outputs_BK
        case "softmax":
            # Softmax of these gives the outputs again.
            logits_BK = outputs_BK.clamp_min(_SMALLEST).log()
        case "sigmoid":
            classes = outputs_BK.shape[1]
            targets_BK = F.one_hot(labels_B, classes).to(outputs_BK) * (1 - label_smoothing) + label_smoothing / classes
            # `F.binary_cross_entropy` raises on NaN, of which the training loop says what to do.
            yes_BK, no_BK = (shares.clamp_min(_SMALLEST).log() for shares in (outputs_BK, 1 - outputs_BK))
            loss = -(targets_BK * yes_BK + (1 - targets_BK) * no_BK).sum()
            return loss / len(labels_B) if reduction == "mean" else loss
        case _:
            assert_never(activation)
    return F.cross_entropy(logits_BK, labels_B, label_smoothing=label_smoothing, reduction=reduction)


def load_criterion(
    factory: str | None, folder: Path, *, activation: Activation = "none", label_smoothing: float = 0.0
) -> Criterion:
    """Cross-entropy, or what the user's function returns.

    Args:
        factory: `module:function`, called without arguments; None for cross-entropy.
        folder: of the recipe; the user's modules are looked up there.
        activation: what the network's outputs are already. The user's own loss gets them as they are.
        label_smoothing: of the cross-entropy: share of the target spread over all classes.

    Returns:
        A function of outputs and labels. It raises UsageError where the user's gives no scalar.

    Raises:
        UsageError: no such function, or what it returns cannot be called.
    """
    if factory is None:
        return partial(labels_loss, activation=activation, label_smoothing=label_smoothing)
    made = import_factory(factory, folder)()
    if not callable(made):
        raise UsageError(
            f"train.loss {factory}: expected a function that returns a loss, to be called with outputs and labels; it "
            f"returned {type(made).__name__}"
        )

    def criterion(outputs_BK: Tensor, labels_B: Tensor) -> Tensor:
        if isinstance(made, nn.Module):
            made.to(outputs_BK.device)  # class weights, for example
        found = made(outputs_BK, labels_B)
        if not isinstance(found, Tensor) or found.ndim or not found.is_floating_point():
            shown = f"{found.dtype} {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(f"train.loss {factory}: expected a floating-point scalar, found {shown}")
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

    def loss(outputs_BK: Tensor, labels_B: Tensor, _indices_B: Tensor, _copy_B: Tensor | None) -> Tensor:
        return criterion(outputs_BK, labels_B)

    return loss


def distillation(
    teacher_VNK: Tensor,
    *,
    temperature: float,
    label_weight: float,
    criterion: Criterion = F.cross_entropy,
    activation: Activation = "none",
) -> Loss:
    """Divergence from the teacher's softened answers, times the temperature squared, mixed with the labels' own loss.

    Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, section 2.

    Args:
        teacher_VNK: outputs per copy and example.
        temperature: of both networks' softmax or sigmoid.
        label_weight: share of the labels' own loss.
        criterion: that loss.
        activation: what the outputs of both are already.
    """
    targets_VNC = _softened(teacher_VNK, temperature, activation)

    def loss(outputs_BK: Tensor, labels_B: Tensor, indices_B: Tensor, copy_B: Tensor | None) -> Tensor:
        assert copy_B is not None  # the teacher answered copies
        answers_BC = _softened(outputs_BK, temperature, activation)
        soft = F.kl_div(answers_BC, targets_VNC[copy_B, indices_B], log_target=True, reduction="batchmean")
        soft = soft * temperature**2
        return torch.lerp(soft, criterion(outputs_BK, labels_B), label_weight) if label_weight else soft

    return loss


def _softened(outputs: Tensor, temperature: float, activation: Activation) -> Tensor:
    """Logarithms of the probabilities at a temperature, (..., K); of a sigmoid also of the opposite, (..., 2 K)."""
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
