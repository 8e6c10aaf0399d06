"""What training minimises: the task's own loss, or the user's."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from pipeline._handlers.activation import Activation
from pipeline.engine.user_code import import_factory
from pipeline.errors import UsageError
from pipeline.tasks.loss import Criterion, Loss
from pipeline.tasks.task import Task


def load_criterion(
    factory: str | None, folder: Path, *, task: Task, activation: Activation = "none", label_smoothing: float = 0.0
) -> Criterion:
    """The task's own loss, or what the user's function returns.

    Args:
        factory: `module:function`, called without arguments; None for the task's own.
        folder: of the recipe; the user's modules are looked up there.
        task: what the network is for.
        activation: what the network's outputs are already. The user's own loss gets them as they are.
        label_smoothing: of the task's own loss: share of the target spread over all classes.

    Returns:
        A function of outputs and labels. It raises UsageError where the user's gives no scalar.

    Raises:
        UsageError: no such function, or what it returns cannot be called.
    """
    if factory is None:
        return task.criterion(activation=activation, label_smoothing=label_smoothing)
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


def loss_name(factory: str | None, *, task: Task, label_smoothing: float) -> str:
    """What training minimises, in words for people; arguments as for `load_criterion`."""
    if factory is not None:
        return f"train.loss {factory}"
    return task.loss_name(label_smoothing=label_smoothing)


def of_labels(criterion: Criterion) -> Loss:
    """A loss that looks at nothing but answers and labels."""

    def loss(outputs_BK: Tensor, labels_B: Tensor, _indices_B: Tensor, _copy_B: Tensor | None) -> Tensor:
        return criterion(outputs_BK, labels_B)

    return loss
