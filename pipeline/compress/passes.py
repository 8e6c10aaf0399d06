"""The passes of a recipe, applied to a network in order."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import assert_never

from torch import Tensor, nn

from pipeline.compress import dynamic, magnitude
from pipeline.compress.touched import PassReport
from pipeline.recipe import DynamicInt8, MagnitudePruning, Pass


def apply_passes(
    network: nn.Module, passes: Sequence[Pass], *, example: tuple[Tensor, ...]
) -> tuple[nn.Module, list[PassReport]]:
    """Apply passes in order; the same weights and passes give the same network, bit for bit.

    That is how a compressed network crosses a file without pickled code: float weights, and the passes again.

    Args:
        network: with float weights, alone or with its preprocessing in front; left as it is.
        passes: what to do, in order.
        example: positional inputs of the network, each (B, ...), to count multiply-accumulates on.

    Returns:
        A compressed copy in evaluation mode, and a report per pass.

    Raises:
        RecipeError: a pass cannot act on this network, or comes after one that leaves it nothing to act on.
    """
    compressed = copy.deepcopy(network).eval()
    reports: list[PassReport] = []
    for one in passes:
        match one:
            case MagnitudePruning():
                made = magnitude.prune(compressed, amount=one.amount, scope=one.scope, example=example)
            case DynamicInt8():
                compressed, made = dynamic.quantize(compressed, example=example)
            case _:
                assert_never(one)
        reports.append(made)
    return compressed, reports
