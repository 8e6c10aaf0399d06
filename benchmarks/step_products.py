"""The matrix products that a training step of a network of convolutions and linear layers comes down to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pipeline.compress.pass_effect import evaluation


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer as a product of matrices, (rows, inner) x (inner, columns).

    Args:
        rows: examples, of a convolution with their places.
        inner: values that an output value depends on.
        columns: output values, of a convolution channels.
    """

    rows: int
    inner: int
    columns: int


def layers_of(network: nn.Module, batch: Tensor) -> list[Layer]:
    """The layers of a network for a batch, in the order in which it calls them."""
    layers: list[Layer] = []

    def note(layer: nn.Module, _inputs: object, output: Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, Tensor)
        columns, inner = weight.shape[0], weight[0].numel()
        layers.append(Layer(rows=output.numel() // columns, inner=inner, columns=columns))

    parts = [part for part in network.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    handles = [part.register_forward_hook(note) for part in parts]
    with evaluation(network), torch.no_grad():
        network(batch)
    for handle in handles:
        handle.remove()
    return layers


def step_products(layers: Sequence[Layer]) -> list[Callable[[], object]]:
    """The products of a step in float32: forward, and backward to the weights and to the inputs.

    The inputs of the first layer are pictures, which get no gradient.
    """
    products: list[Callable[[], object]] = []
    for place, layer in enumerate(layers):
        values, weight = torch.rand(layer.rows, layer.inner), torch.rand(layer.inner, layer.columns)
        gradient = torch.rand(layer.rows, layer.columns)
        pairs = [(values, weight), (values.t(), gradient), (gradient, weight.t())]
        for left, right in pairs if place else pairs[:2]:
            products.append(partial(torch.mm, left, right, out=torch.empty(left.shape[0], right.shape[1])))
    return products
