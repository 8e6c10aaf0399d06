"""Where one contender stands against another: what may be claimed of speed and of accuracy, and both together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.gain import Claim, Ratio
from pipeline.tasks.intervals import drop_bounds

Accuracy = Literal["more accurate", "as accurate", "less accurate"]
# Confidence of each bound; both together hold with 95 %.
_CONFIDENCE = 0.975


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Accuracy of one contender minus another's, on the same examples.

    Args:
        value: difference as a fraction.
        low: lower end of its two-sided 95 % interval.
        high: upper end of that interval.
    """

    value: float
    low: float
    high: float

    @property
    def claim(self) -> Accuracy:
        """What may be said of accuracy: where the interval holds 0, neither is the better one."""
        if self.low > 0:
            return "more accurate"
        return "less accurate" if self.high < 0 else "as accurate"


def paired_accuracy(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> Paired:
    """Compare on the same examples; see `drop_bounds`.

    Args:
        right: mask (N,) of the examples that the one contender answers rightly.
        other: mask (N,) of the examples that the other contender answers rightly.
    """
    lost, gained, examples = int((other & ~right).sum()), int((right & ~other).sum()), len(right)
    low, high = drop_bounds(lost=lost, gained=gained, examples=examples, confidence=_CONFIDENCE)
    return Paired(value=(gained - lost) / examples, low=-high, high=-low)


def standing(speed: Claim, accuracy: Accuracy) -> str:
    """Say the standing in one word or a few; ahead is faster at equal or better accuracy.

    Args:
        speed: what may be claimed of the speed of the one over the other.
        accuracy: what may be claimed of its accuracy.
    """
    match speed, accuracy:
        case "faster", "less accurate":
            return "faster, but less accurate"
        case "faster", _:
            return "ahead"
        case "slower", "more accurate":
            return "slower, but more accurate"
        case "slower", _:
            return "behind"
        case "none", "more accurate":
            return "as fast, more accurate"
        case "none", "less accurate":
            return "behind: as fast, less accurate"
        case "none", _:
            return "level"
        case _:
            assert_never(speed)


def speed_text(ratio: Ratio, noise: Ratio) -> str:
    """Return how many times faster it is, its interval, and the sign of the claim."""
    sign = {"faster": "+", "slower": "-", "none": ""}[ratio.claim(noise)]
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f}){sign}"
