"""Make optimizers by the names that a recipe uses."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from torch import nn, optim

from pipeline.training.settings import Optimization

SGD_MOMENTUM = 0.9


def make_optimizer(
    settings: Optimization, parameters: Iterable[nn.Parameter], *, scaled: bool = False, joined_later: bool = False
) -> optim.Optimizer:
    """Build an optimizer over the parameters that require a gradient.

    Args:
        settings: update rule with its settings.
        parameters: parameters of the network; frozen ones are left out.
        scaled: whether its gradients are scaled, so that a step whose gradients overflow is left out.
        joined_later: whether some parameters have no gradient in the first steps, but in later ones.

    Returns:
        The optimizer, in its fused form where torch has one: one pass over the memory, measurably faster on a CPU.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    rate, decay, momentum = settings.learning_rate, settings.weight_decay, settings.momentum
    match settings.optimizer:
        case "adamw":
            return optim.AdamW(trained, lr=rate, weight_decay=decay, fused=True)
        case "adam":
            return optim.Adam(trained, lr=rate, weight_decay=decay, fused=True)
        case "sgd":
            momentum = SGD_MOMENTUM if momentum is None else momentum
            nesterov = momentum > 0 if settings.nesterov is None else settings.nesterov
            # Where the first step overflows, torch's fused form leaves it out, but keeps a momentum that was never
            # written; and it fails where a parameter joins others that have a momentum (torch 2.13, `_fused_sgd` in
            # torch/optim/sgd.py).
            fused = not (scaled or joined_later)
            return optim.SGD(trained, lr=rate, momentum=momentum, nesterov=nesterov, weight_decay=decay, fused=fused)
        case "rmsprop":
            return optim.RMSprop(trained, lr=rate, momentum=momentum or 0.0, weight_decay=decay)
        case "lbfgs":
            return optim.LBFGS(
                trained,
                lr=rate,
                max_iter=settings.lbfgs.iterations,
                history_size=settings.lbfgs.history,
                line_search_fn="strong_wolfe",
            )
        case _:
            assert_never(settings.optimizer)
