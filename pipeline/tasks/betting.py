"""Bound the mean of bounded values from above by betting against it; the bound keeps a width even for equal values.

Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by betting", Journal of the Royal
Statistical Society B 86, 1-27, arXiv:2010.09686. Where the mean is m or more, a bet of a share of the capital that pays
m - x for each value x is at best fair. By Ville's inequality, the capital then ever grows to 1 / error with a
probability of at most `error`, whatever the distribution of the values is. So each m at which the capital grew that far
is refused, and the smallest of them is the bound.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

# How much is bet follows from the variance of the values so far (equation 26 there), in which this guess counts as one
# value. It is the variance of differences of scores of which one in ten is as large as can be.
_FIRST_VARIANCE = 0.1
# Largest share of the capital that one value can take. With 0.9, the bound for values that are all 0 is 3.3 / n at
# 95 %, against 3.0 / n with 1 and 4.0 / n with the paper's 3/4; with 1, one value of 1 would take all there is.
_LARGEST_STAKE = 0.9
_SEED = 20200612


def mean_upper_bound(values: NDArray[Any], *, highest: float, confidence: float) -> float:
    """Compute a one-sided upper bound of the mean of a distribution, from independent draws.

    The bound depends on the order in which values are bet on. It is always the same one, drawn once with a fixed seed,
    so that data that are sorted in some way are bet on in an order that has nothing to do with it.

    Args:
        values: draws, (N,) with N of 1 or more; none is above `highest`.
        highest: largest value that there can be.
        confidence: confidence of the bound.

    Returns:
        The bound, at most `highest`.
    """
    count = len(values)
    shuffled = np.asarray(values, np.float64)[_order(count)]
    mean = float(shuffled.mean())
    if mean >= highest:
        return highest
    needed = math.log(1 / (1 - confidence))
    stakes = np.sqrt(2 * needed / (count * _variances(shuffled)))

    def missing(bound: float) -> float:
        """Return the logarithm of the factor by which the largest capital falls short of what refuses this mean."""
        shares = np.minimum(stakes, _LARGEST_STAKE / (highest - bound))
        return needed - float(np.log1p(shares * (bound - shuffled)).cumsum().max())

    # The capital grows with the mean that is bet against. Next to the highest value it need not be enough.
    nearly = highest - 1e-9 * (highest - mean)
    if missing(nearly) > 0:
        return highest
    from scipy.optimize import brentq

    return float(brentq(missing, mean, nearly, xtol=1e-9, rtol=1e-9)) if missing(mean) > 0 else mean


def _variances(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the variance before each value from the values before it, (N,)."""
    seen = np.arange(1, len(values) + 1)
    squares = np.cumsum((values - np.cumsum(values) / (seen + 1)) ** 2)
    variances = np.full(len(values), _FIRST_VARIANCE)
    variances[1:] = (_FIRST_VARIANCE + squares[:-1]) / seen[1:]
    return variances


def _order(count: int) -> NDArray[np.intp]:
    """Return the order in which values are bet on; numpy keeps the raw stream of its generators in all versions."""
    return np.argsort(np.random.PCG64(_SEED).random_raw(count), kind="stable")
