"""What a network's outputs are (logits or probabilities), and how they become the probabilities that a client gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, assert_never, get_args

import numpy as np
from numpy.typing import NDArray

# Last operation inside the network: none (its outputs are logits), softmax (each row sums to 1), or sigmoid (each class
# has a probability on its own).
Activation = Literal["none", "softmax", "sigmoid"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)


def probabilities(outputs: NDArray[Any], activation: Activation) -> NDArray[np.float64]:
    """Compute the probabilities of the classes, in float64; a network that answers with probabilities keeps its own.

    Args:
        outputs: outputs of the network, (..., K), finite.
        activation: last operation inside the network.
    """
    values: NDArray[np.float64] = outputs.astype(np.float64)
    match activation:
        case "none":
            # For a few classes the methods `max` and `sum` take twice as long as these functions, which they call.
            exponentials = np.exp(values - np.maximum.reduce(values, axis=-1, keepdims=True))
            shares: NDArray[np.float64] = exponentials / np.add.reduce(exponentials, axis=-1, keepdims=True)
            return shares
        case "softmax" | "sigmoid":
            return values
        case _:
            assert_never(activation)


def row_probabilities(outputs: Sequence[float], activation: Activation) -> list[float]:
    """Compute the probabilities of one example, to the last bit as `probabilities`; of few classes, in half the time.

    Args:
        outputs: outputs of the network, (K,), finite.
        activation: last operation inside the network.
    """
    match activation:
        case "none":
            largest = max(outputs)
            # The exponential and the order of a sum are numpy's own.
            exponentials: NDArray[np.float64] = np.exp([value - largest for value in outputs])
            total = float(np.add.reduce(exponentials))
            return [value / total for value in exponentials.tolist()]
        case "softmax" | "sigmoid":
            return list(outputs)
        case _:
            assert_never(activation)


def label_probabilities(outputs: NDArray[Any], activation: Activation) -> NDArray[np.float64]:
    """Compute the probability of each label on its own, in float64: several labels may be right for one example.

    Args:
        outputs: outputs of the network, (..., K), finite.
        activation: last operation inside the network; the sum of a softmax has no meaning here.
    """
    values: NDArray[np.float64] = outputs.astype(np.float64)
    match activation:
        case "none":
            # The exponential of a number of at most 0 never overflows.
            small = np.exp(-np.abs(values))
            shares: NDArray[np.float64] = np.where(values >= 0, 1.0, small) / (1.0 + small)
            return shares
        case "softmax" | "sigmoid":
            return values
        case _:
            assert_never(activation)
