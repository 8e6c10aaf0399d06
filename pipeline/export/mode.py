"""What must hold before a module becomes a file."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.errors import ProofError


def require_exportable(module: nn.Module, example: tuple[Tensor, ...], form: str) -> None:
    """Check a module and its example before it is exported.

    Args:
        module: about to be exported.
        example: its positional inputs, each (B, ...).
        form: name of the format, for the message.

    Raises:
        ProofError: a module is in training mode: dropout and batch norm would be frozen into the file as they train.
        ValueError: fewer than two rows in the example, with which exporters take the batch axis for a constant.
    """
    training = [name or type(one).__name__ for name, one in module.named_modules() if one.training]
    if training:
        raise ProofError(
            f"export to {form}: expected every module in evaluation mode, found {training[0]} in training mode; "
            "call .eval() on the network"
        )
    if any(len(tensor) < 2 for tensor in example):
        raise ValueError(f"export to {form}: expected an example of 2 rows or more, found {len(example[0])}")
