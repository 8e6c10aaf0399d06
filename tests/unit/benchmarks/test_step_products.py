"""A step has three matrix products for a layer, and two for the first."""

from __future__ import annotations

import torch

from benchmarks import textbook
from benchmarks.step_products import Layer, layers_of, step_products


def test_products_of_the_fashion_cnn() -> None:
    layers = layers_of(textbook.build(), torch.zeros(2, 1, 28, 28))
    assert layers == [
        Layer(rows=2 * 28 * 28, inner=9, columns=32),
        Layer(rows=2 * 14 * 14, inner=32 * 9, columns=64),
        Layer(rows=2, inner=3136, columns=512),
        Layer(rows=2, inner=512, columns=10),
    ]
    products = step_products(layers)
    assert len(products) == 2 + 3 * 3
    shapes = [product().shape for product in products]  # type: ignore[attr-defined]
    assert shapes[:3] == [(1568, 32), (9, 32), (392, 64)]
    assert shapes[4] == (392, 288)
