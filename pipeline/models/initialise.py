"""Initialise a network's convolutions and linear layers in a way that the recipe names."""

from __future__ import annotations

from typing import assert_never

from torch import nn
from torch.nn.modules.conv import _ConvNd

from pipeline.errors import UsageError
from pipeline.recipe.names import InitialisationName


def initialise(network: nn.Module, name: InitialisationName) -> nn.Module:
    """Draw the weights of all convolutions and linear layers anew from torch's random state; biases become 0.

    Other parameters stay as the network made them: those of norms, embeddings and attention.

    Args:
        network: network as built; it is changed in place and returned.
        name: `kaiming`, normal with variance 2 / fan-in for ReLU (He et al., arXiv:1502.01852); `xavier`, uniform with
            variance 2 / (fan-in + fan-out) (Glorot and Bengio, AISTATS 2010); `orthogonal` (Saxe et al.,
            arXiv:1312.6120).

    Raises:
        UsageError: the network has no such layer.
    """
    # The weight of a layer with a parametrization is computed from other parameters.
    layers = [
        module
        for module in network.modules()
        if isinstance(module, nn.Linear | _ConvNd) and isinstance(module._parameters.get("weight"), nn.Parameter)  # noqa: SLF001
    ]
    if not layers:
        raise UsageError(
            f"model.initialisation {name}: expected a network with convolutions or linear layers, found none in "
            f"{type(network).__name__}; leave it out, or initialise in the factory"
        )
    for layer in layers:
        match name:
            case "kaiming":
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            case "xavier":
                nn.init.xavier_uniform_(layer.weight)
            case "orthogonal":
                nn.init.orthogonal_(layer.weight)
            case _:
                assert_never(name)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return network
