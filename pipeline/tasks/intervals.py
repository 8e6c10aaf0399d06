"""Compute score intervals for the difference of paired proportions; they keep a width even when nothing flips."""

from __future__ import annotations

import math

# SciPy takes a second or two to load, so it is imported only where something is judged.


def drop_bounds(*, lost: float, gained: float, examples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute one-sided bounds of the drop in a share of right answers, on the same examples before and after.

    Tango (1998), "Equivalence test and confidence interval for the difference in proportions for the paired-sample
    design", Statistics in Medicine 17, 891-908. The bounds are the drops at which the score statistic, with the
    discordant probability at its restricted maximum likelihood estimate, reaches the normal quantile.

    Args:
        lost: number of examples that were right before and are wrong after.
        gained: number of examples that were wrong before and are right after.
        examples: number of all examples, n.
        confidence: confidence of each bound by itself; both together hold with 2 * confidence - 1.

    Returns:
        Lower and upper bound, each in [-1, 1], as fractions.

    Raises:
        ValueError: there are no examples, or the counts do not fit into them.
    """
    if examples < 1 or lost < 0 or gained < 0 or lost + gained > examples:
        raise ValueError(
            f"expected counts of at least 0 that fit into at least 1 example, found {lost} lost and {gained} gained "
            f"of {examples}"
        )
    from scipy.special import ndtri

    quantile = float(ndtri(confidence))
    return -_upper(gained, lost, examples, quantile), _upper(lost, gained, examples, quantile)


def smallest_provable_drop(*, discordant: int, examples: int, confidence: float = 0.95) -> float:
    """The upper bound for a candidate without a true drop: no smaller budget can be proven with so many examples.

    Args:
        discordant: number of examples that only one of the two gets right; each is taken to get half of them right.
        examples: number of all examples, n.
        confidence: confidence of the one-sided bound.
    """
    return drop_bounds(lost=discordant / 2, gained=discordant / 2, examples=examples, confidence=confidence)[1]


def _upper(lost: float, gained: float, examples: int, quantile: float) -> float:
    square = quantile**2
    # At these three corners the variance is 0 at the estimate itself, and the equation has a closed solution.
    if lost == gained == 0:
        return square / (examples + square)
    if lost == examples:
        return 1.0
    if gained == examples:
        return (square - examples) / (square + examples)

    def excess(drop: float) -> float:
        # This is the restricted estimate of the probability of a gain for that drop (Tango's q21).
        linear = -lost - gained + (2 * examples - lost + gained) * drop
        constant = -gained * drop * (1 - drop)
        gain = (math.sqrt(max(linear**2 - 8 * examples * constant, 0.0)) - linear) / (4 * examples)
        variance = examples * (2 * gain + drop * (1 - drop))
        return lost - gained - examples * drop + quantile * math.sqrt(max(variance, 0.0))

    from scipy.optimize import brentq

    # The excess is positive at the estimate, where only the spread is left, and not at 1, where no spread is left.
    return float(brentq(excess, (lost - gained) / examples, 1.0, xtol=1e-12, rtol=1e-12))


def accuracy_interval(*, right: int, examples: int, confidence: float = 0.95) -> tuple[float, float]:
    """Compute the two-sided score interval of a share of right answers.

    Wilson (1927), "Probable inference, the law of succession, and statistical inference", Journal of the American
    Statistical Association 22, 209-212.

    Args:
        right: number of right answers.
        examples: number of all examples.
        confidence: confidence of the interval.

    Returns:
        Lower and upper end, each in [0, 1].

    Raises:
        ValueError: there are no examples, or more right answers than examples.
    """
    from scipy.stats import binomtest

    interval = binomtest(right, examples).proportion_ci(confidence_level=confidence, method="wilson")
    return float(interval.low), float(interval.high)
