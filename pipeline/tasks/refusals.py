"""Refusals of losses that a task does not have, or not for the outputs of this network."""

from __future__ import annotations

from pipeline._handlers.activation import Activation
from pipeline.errors import UsageError
from pipeline.recipe.names import LossName
from pipeline.recipe.task import TaskSettings, losses_of


def no_such_loss(loss: LossName, settings: TaskSettings) -> UsageError:
    """The error of a built-in loss that a task does not have."""
    return UsageError(
        f"train.loss {loss}: expected {', '.join(losses_of(settings))} in the task {settings.kind}, or your own as "
        "module:function"
    )


def require_logits(activation: Activation) -> None:
    """Check that outputs are logits, as the loss `bce-with-logits` needs.

    Raises:
        UsageError: they have an activation.
    """
    if activation != "none":
        raise UsageError(
            f"train.loss bce-with-logits: expected logits, found outputs of a {activation}; take the {activation} out "
            "of the network, or leave train.loss out"
        )
