"""Load the loss that training minimises: the task's own, or the user's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeGuard

import torch
from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline._handlers.outputs import OutputSpec
from pipeline.engine.user_code import import_factory
from pipeline.errors import UsageError
from pipeline.recipe.names import LOSSES, LossName
from pipeline.tasks.loss import Criterion, Loss
from pipeline.tasks.task import Task


def load_criterion(
    loss: str | None,
    folder: Path,
    *,
    task: Task,
    activation: Activation = "none",
    label_smoothing: float = 0.0,
    weights_K: Tensor | None = None,
    outputs: Sequence[OutputSpec] = (),
) -> Criterion:
    """Load the task's own loss, another built-in one, or the loss that the user's function returns.

    Args:
        loss: name of a built-in loss, or a function as `module:function`, called without arguments; None for the task's
            own loss.
        folder: folder of the recipe, in which the user's modules are looked up.
        task: task of the network.
        activation: activation that the network's outputs already have. The user's own loss gets them as they are.
        label_smoothing: share of the target that the task's own loss spreads over all classes.
        weights_K: weight of each class in a built-in loss; None for the same weight for all.
        outputs: the outputs in the task of that name, which the user's own loss gets by name.

    Returns:
        A function of outputs and labels. It raises UsageError where the user's loss returns no scalar.

    Raises:
        UsageError: the task has no such loss, there is no such function, or its result cannot be called.
    """
    if loss is None or _is_built_in(loss):
        return task.criterion(activation=activation, label_smoothing=label_smoothing, loss=loss, weights_K=weights_K)
    return _user_criterion(loss, folder, outputs)


def _is_built_in(loss: str) -> TypeGuard[LossName]:
    return loss in LOSSES


def _user_criterion(factory: str, folder: Path, outputs: Sequence[OutputSpec]) -> Criterion:
    loss = import_factory(factory, folder)()
    if not callable(loss):
        raise UsageError(
            f"train.loss {factory}: expected a function that returns a loss, to be called with outputs and labels; it "
            f"returned {type(loss).__name__}"
        )

    def criterion(outputs_BK: Tensor, labels_B: Tensor) -> Tensor:
        if isinstance(loss, nn.Module):
            loss.to(outputs_BK.device)  # class weights, for example
        value = loss(by_name(outputs_BK, outputs) if outputs else outputs_BK, labels_B)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            shown = f"{value.dtype} {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise UsageError(f"train.loss {factory}: expected a floating-point scalar, found {shown}")
        return value

    return criterion


def by_name(outputs_BK: Tensor, outputs: Sequence[OutputSpec]) -> dict[str, Tensor]:
    """Several outputs, each (B, *shape), by name."""
    parts = torch.split(outputs_BK, [output.size for output in outputs], dim=1)
    return {
        output.name: part.reshape(len(outputs_BK), *output.shape) for output, part in zip(outputs, parts, strict=True)
    }


def loss_name(loss: str | None, *, task: Task, label_smoothing: float, weighted: bool = False) -> str:
    """The name of the loss that training minimises, for people; the arguments are as for `load_criterion`."""
    if loss is None or _is_built_in(loss):
        name = task.loss_name(label_smoothing=label_smoothing, loss=loss)
        return f"class-weighted {name}" if weighted else name
    return f"train.loss {loss}"


def of_labels(criterion: Criterion) -> Loss:
    """Make a loss that uses nothing but answers and labels."""

    def loss(outputs_BK: Tensor, labels_B: Tensor, _indices_B: Tensor, _copy_B: Tensor | None) -> Tensor:
        return criterion(outputs_BK, labels_B)

    return loss
