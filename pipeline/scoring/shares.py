"""Exact bounds of a share from a count."""

from __future__ import annotations

import math

# SciPy takes a second to load, so it is imported only where a bound is computed.


def share_bound(count: int, examples: int, *, confidence: float) -> float:
    """Compute the one-sided upper bound of a share; it holds with at least the confidence, whatever the share is.

    Clopper and Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the binomial",
    Biometrika 26, 404-413.

    Args:
        count: number of examples that were counted.
        examples: number of all examples, 1 or more.
        confidence: confidence of the bound.
    """
    from scipy.special import betaincinv

    return 1.0 if count == examples else float(betaincinv(count + 1, examples - count, confidence))


def share_interval(count: int, examples: int, *, confidence: float) -> tuple[float, float]:
    """Compute the two-sided interval of a share, from the same bound on both sides.

    Args:
        count: number of examples that were counted.
        examples: number of all examples, 1 or more.
        confidence: confidence of the interval.
    """
    each = (1 + confidence) / 2
    lower = 1 - share_bound(examples - count, examples, confidence=each)
    return lower, share_bound(count, examples, confidence=each)


def examples_needed(limit: float, *, confidence: float) -> int:
    """Count the examples without which no share below a limit can be shown, even where none is counted.

    Args:
        limit: the limit, above 0 and below 1.
        confidence: confidence of the bound that is held against it.
    """
    return math.ceil(math.log(1 - confidence) / math.log1p(-limit))
