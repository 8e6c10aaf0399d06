"""Hold validation examples out of a publisher's training examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError


def held_out(count: int, validation_size: int, *, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which of a number of examples are trained on, and which are held out; both in ascending order.

    Args:
        count: number of all examples.
        validation_size: number of those held out.
        seed: another seed gives another split.

    Raises:
        DataError: nothing is left to train on.
    """
    if not 0 < validation_size < count:
        raise DataError(f"data.validation_size: expected 1 to {count - 1}, found {validation_size}")
    order = np.random.default_rng(seed).permutation(count)
    return np.sort(order[validation_size:]), np.sort(order[:validation_size])
