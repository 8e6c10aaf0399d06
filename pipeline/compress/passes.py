"""Apply the passes of a recipe to a network, in order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from torch import Tensor, nn

from pipeline.compress import bfloat16, channels, dynamic, magnitude, tuned
from pipeline.compress.pass_effect import PassReport
from pipeline.errors import UsageError
from pipeline.recipe.passes import Bfloat16, ChannelPruning, DynamicInt8, FineTune, MagnitudePruning, Pass, StaticInt8


def apply_passes(
    network: nn.Module, passes: Sequence[Pass], *, example: tuple[Tensor, ...], weights: Path | None = None
) -> tuple[nn.Module, list[PassReport]]:
    """Apply passes in order; the same weights and passes give the same network, bit for bit.

    In this way a compressed network is stored without pickled code: as float weights, to which the passes are applied
    again. Nothing is trained here: what a fine-tune pass learned is read from a file.

    Args:
        network: network with float weights, alone or with its preprocessing in front; it is left as it is.
        passes: passes in order.
        example: positional inputs of the network, each (B, ...), for counting multiply-accumulates.
        weights: file of the weights that the fine-tune pass among them learned.

    Returns:
        A compressed copy in evaluation mode, and a report per pass.

    Raises:
        UsageError: a pass cannot act on this network, or comes after one that leaves it nothing to act on.
        DataError: the tuned weights belong to another network.
    """
    compressed = _copy_network(network).eval()
    reports: list[PassReport] = []
    for step in passes:
        match step:
            case ChannelPruning():
                pass_report = channels.prune(
                    compressed,
                    keep=step.keep,
                    scope=step.scope,
                    layers=step.layers,
                    round_to=step.round_to,
                    importance=step.importance,
                    example=example,
                )
            case FineTune():
                pass_report = tuned.load(compressed, weights, epochs=step.epochs, example=example)
            case MagnitudePruning():
                pass_report = magnitude.prune(compressed, amount=step.amount, scope=step.scope, example=example)
            case DynamicInt8():
                compressed, pass_report = dynamic.quantize(compressed, example=example)
            case Bfloat16():
                compressed, pass_report = bfloat16.convert(compressed, example=example)
            case StaticInt8():
                raise UsageError(
                    "static-int8 of a torch module: expected an ONNX file, which is quantized after its export; "
                    "use dynamic-int8"
                )
            case _:
                assert_never(step)
        reports.append(pass_report)
    return compressed, reports


def _copy_network(network: nn.Module) -> nn.Module:
    """Copy a network, even one whose last call left a tensor with its gradient history in an attribute.

    `torch.nn.utils.weight_norm` keeps its result in this way, and torch copies no such tensor (seen in 2.13).
    """
    for module in network.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor) and value.grad_fn is not None:
                setattr(module, name, value.detach())
    return copy.deepcopy(network)
