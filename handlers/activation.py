"""What a network's outputs are already, and the probabilities that a client is told from them."""

from __future__ import annotations

from typing import Any, Literal, assert_never, get_args

import numpy as np
from numpy.typing import NDArray

# What the network itself took last: nothing (its outputs are logits), softmax (each row sums to 1), or sigmoid (a
# probability for each class on its own).
Activation = Literal["none", "softmax", "sigmoid"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def probabilities(outputs: NDArray[Any], activation: Activation) -> NDArray[np.float64]:
    """Probabilities of the classes, in float64: those of the network itself where it answers with probabilities.

    Args:
        outputs: of the network, (..., K), finite.
        activation: what they are already.
    """
    values: NDArray[np.float64] = outputs.astype(np.float64)
    match activation:
        case "none":
            exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
            shares: NDArray[np.float64] = exponentials / exponentials.sum(axis=-1, keepdims=True)
            return shares
        case "softmax" | "sigmoid":
            return values
        case _:
            assert_never(activation)
