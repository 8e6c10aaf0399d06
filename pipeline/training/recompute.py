"""Activation checkpointing: some modules' activations are not kept for the backward pass, but computed again there."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pipeline.errors import UsageError
from pipeline.recipe.names import meant
from pipeline.training.global_batch_norm import GlobalBatchNorm


@contextmanager
def recomputed(network: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Inside the block, compute some modules again in the backward pass; the weights that are learned are the same.

    Args:
        network: network; its modules are changed in place, and changed back.
        names: names of the modules.

    Raises:
        UsageError: there is no such module, or one lies inside another.
    """
    modules = [_module(network, name) for name in names]
    for name in names:
        outer = next((other for other in names if name.startswith(f"{other}.")), None)
        if outer is not None:
            raise UsageError(
                f"train.activation_checkpointing: expected modules that do not lie in each other, found {name} in "
                f"{outer}; name one of them"
            )
    for module in modules:
        # An instance's own forward goes before its class's.
        module.forward = _computed_again(module)
    try:
        yield
    finally:
        for module in modules:
            del module.forward


def _module(network: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(network.named_modules())
    module = modules.get(name)
    if name and module is not None and "forward" not in vars(module):
        return module
    names = [known for known in modules if known]
    hint = meant(name, names) or f"; there are {', '.join(names[:8])}"
    raise UsageError(
        f"train.activation_checkpointing {name!r}: expected the name of a module of the network, found none such{hint}"
    )


def _computed_again(module: nn.Module) -> Callable[..., Any]:
    forward = module.forward

    @functools.wraps(forward)
    def forward_again(*inputs: Any, **keywords: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*inputs, **keywords)
        batch_norms = GlobalBatchNorm.again()
        return checkpoint(
            forward,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), _again(module, batch_norms)),
            **keywords,
        )

    return forward_again


@contextmanager
def _again(module: nn.Module, batch_norms: AbstractContextManager[Any]) -> Iterator[None]:
    """Restore a module's buffers after the block: a batch norm must not count the batch that it sees again.

    Args:
        module: module that is computed again.
        batch_norms: what its batch norms ran in the first time.
    """
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        with batch_norms:
            yield
    finally:
        with torch.no_grad():
            for buffer, values in before:
                buffer.copy_(values)
