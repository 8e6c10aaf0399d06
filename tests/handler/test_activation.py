"""Probabilities of one example, of a list and of a batch: they are the same numbers, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.activation import ACTIVATIONS, Activation, probabilities, row_probabilities


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """One row, by the methods of an array."""
    values = logits.astype(np.float64)
    exponentials = np.exp(values - values.max())
    shares: NDArray[np.float64] = exponentials / exponentials.sum()
    return shares


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("classes", [1, 2, 3, 7, 8, 9, 10, 31, 32, 33, 128, 129, 1000])
@pytest.mark.parametrize("rows", [1, 2, 7, 32, 33])
def test_a_batch_has_the_probabilities_of_its_rows(rows: int, classes: int, activation: Activation) -> None:
    generator = np.random.default_rng(rows * classes)
    for scale in (1e-6, 1.0, 20.0, 1e30):
        logits = (scale * generator.normal(size=(rows, classes))).astype(np.float32)
        batch = probabilities(logits, activation)
        for row, shares in zip(logits, batch, strict=True):
            expected = softmax(row) if activation == "none" else row.astype(np.float64)
            assert shares.tobytes() == expected.tobytes()
            assert probabilities(row, activation).tobytes() == expected.tobytes()
            assert row_probabilities(row.tolist(), activation) == expected.tolist()
