"""Prune by magnitude: the weights of smallest absolute value become zero, permanently."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from pipeline.compress.pass_effect import (
    PassReport,
    layer_macs,
    refuse_computed,
    refuse_quantized,
    report,
    weighted_layers,
)
from pipeline.errors import UsageError
from pipeline.recipe.names import PruningScope


def prune(network: nn.Module, *, amount: float, scope: PruningScope, example: tuple[Tensor, ...]) -> PassReport:
    """Set weights of convolution and linear layers to zero, in place, smallest absolute value first (L1, unstructured).

    The zeros are written into the weights: no mask or hook stays behind. Among weights of equal absolute value the
    first goes first, so the same weights always give the same zeros.

    Args:
        network: network with float weights.
        amount: share of those weights that become zero, above 0 and below 1; rounded to whole weights as
            `torch.nn.utils.prune.l1_unstructured` does.
        scope: whether weights are ranked within each layer or over all layers together.
        example: positional inputs of the network, each (B, ...), for counting multiply-accumulates.

    Returns:
        The report on what was touched, with the resulting sparsity.

    Raises:
        UsageError: the network is already quantized, has no convolution or linear layer, or computes their weights.
    """
    refuse_quantized(network, "magnitude-pruning")
    layers = {name: layer for name, layer in weighted_layers(network).items() if isinstance(layer, _ConvNd | nn.Linear)}
    if not layers:
        raise UsageError(
            "magnitude-pruning: expected at least one convolution or linear layer, found none; leave the pass out"
        )
    refuse_computed(network, "magnitude-pruning")
    # A weight that several layers share is ranked and counted once.
    weights = list({id(layer.weight): layer.weight.detach() for layer in layers.values()}.values())
    for group in [[weight] for weight in weights] if scope == "layer" else [weights]:
        _zero_smallest(group, amount)
    return report(
        kind="magnitude-pruning",
        detail=f"{amount * 100:g} % of the weights {'per layer' if scope == 'layer' else 'over all layers'}",
        network=network,
        touched=set(layers),
        macs=layer_macs(network, example),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _zero_smallest(weights: list[Tensor], amount: float) -> None:
    magnitudes = torch.cat([weight.abs().flatten() for weight in weights])
    count = round(amount * magnitudes.numel())
    # torch.nn.utils.prune uses torch.topk, which leaves open which of equal values it takes.
    keep = torch.ones_like(magnitudes, dtype=torch.bool)
    keep[torch.argsort(magnitudes, stable=True)[:count]] = False
    kept = torch.split(keep, [weight.numel() for weight in weights])
    for weight, mask in zip(weights, kept, strict=True):
        weight.masked_fill_(~mask.view_as(weight), 0.0)
