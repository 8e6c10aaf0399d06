"""A check of a module before it is exported."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.errors import ProofError


def require_exportable(module: nn.Module, example: tuple[Tensor, ...], form: str) -> None:
    """Check a module and its example before it is exported.

    Args:
        module: module that is about to be exported.
        example: positional inputs of the module, each (B, ...).
        form: name of the format, for the message.

    Raises:
        ProofError: a module is in training mode, so that dropout and batch norm would be frozen into the file as they
            train.
        ValueError: the example has fewer than two rows, with which exporters take the batch axis for a constant.
    """
    training = [name or type(part).__name__ for name, part in module.named_modules() if part.training]
    if training:
        raise ProofError(
            f"export to {form}: expected every module in evaluation mode, found {training[0]} in training mode; "
            "call .eval() on the network"
        )
    if any(len(tensor) < 2 for tensor in example):
        raise ValueError(f"export to {form}: expected an example of 2 rows or more, found {len(example[0])}")
