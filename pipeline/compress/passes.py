"""The passes of a recipe, applied to a network in order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from torch import Tensor, nn

from pipeline.compress import bfloat16, channels, dynamic, magnitude, tuned
from pipeline.compress.touched import PassReport
from pipeline.errors import UsageError
from pipeline.recipe.passes import Bfloat16, ChannelPruning, DynamicInt8, FineTune, MagnitudePruning, Pass, StaticInt8


def apply_passes(
    network: nn.Module, passes: Sequence[Pass], *, example: tuple[Tensor, ...], weights: Path | None = None
) -> tuple[nn.Module, list[PassReport]]:
    """Apply passes in order; the same weights and passes give the same network, bit for bit.

    That is how a compressed network crosses a file without pickled code: float weights, and the passes again. Nothing
    is trained here: what a fine-tune pass learned is read from a file.

    Args:
        network: with float weights, alone or with its preprocessing in front; left as it is.
        passes: what to do, in order.
        example: positional inputs of the network, each (B, ...), to count multiply-accumulates on.
        weights: what the fine-tune pass among them made.

    Returns:
        A compressed copy in evaluation mode, and a report per pass.

    Raises:
        UsageError: a pass cannot act on this network, or comes after one that leaves it nothing to act on.
        DataError: the tuned weights are those of another network.
    """
    compressed = _copied(network).eval()
    reports: list[PassReport] = []
    for one in passes:
        match one:
            case ChannelPruning():
                made = channels.prune(
                    compressed,
                    keep=one.keep,
                    scope=one.scope,
                    layers=one.layers,
                    round_to=one.round_to,
                    importance=one.importance,
                    example=example,
                )
            case FineTune():
                made = tuned.load(compressed, weights, epochs=one.epochs, example=example)
            case MagnitudePruning():
                made = magnitude.prune(compressed, amount=one.amount, scope=one.scope, example=example)
            case DynamicInt8():
                compressed, made = dynamic.quantize(compressed, example=example)
            case Bfloat16():
                compressed, made = bfloat16.convert(compressed, example=example)
            case StaticInt8():
                raise UsageError(
                    "static-int8 of a torch module: expected an ONNX file, which is quantized after its export; "
                    "use dynamic-int8"
                )
            case _:
                assert_never(one)
        reports.append(made)
    return compressed, reports


def _copied(network: nn.Module) -> nn.Module:
    """A copy of a network, also of one whose last call left a tensor with its history in an attribute.

    `torch.nn.utils.weight_norm` keeps what it computes so, and torch copies no such tensor (seen in 2.13).
    """
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                setattr(module, name, value.detach())
    return copy.deepcopy(network)
