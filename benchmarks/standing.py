"""Where one contender stands against another: what may be claimed of speed and of accuracy, and both together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from pipeline.measure.gain import Claim, Ratio
from pipeline.tasks.intervals import drop_bounds

Accuracy = Literal["more accurate", "as accurate", "less accurate"]
# Each bound; both together hold with 95 %.
_CONFIDENCE = 0.975


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Accuracy of one contender minus another's, on the same examples.

    Args:
        value: as a fraction.
        low: lower end of its two-sided 95 % interval.
        high: upper end.
    """

    value: float
    low: float
    high: float

    @property
    def claim(self) -> Accuracy:
        """What may be said: where the interval holds 0, neither is the better one."""
        if self.low > 0:
            return "more accurate"
        return "less accurate" if self.high < 0 else "as accurate"


def paired_accuracy(right: NDArray[np.bool_], other: NDArray[np.bool_]) -> Paired:
    """Compare on the same examples; see `drop_bounds`.

    Args:
        right: which examples (N,) the one answers rightly.
        other: which the other one does.
    """
    lost, gained, examples = int((other & ~right).sum()), int((right & ~other).sum()), len(right)
    low, high = drop_bounds(lost=lost, gained=gained, examples=examples, confidence=_CONFIDENCE)
    return Paired(value=(gained - lost) / examples, low=-high, high=-low)


def standing(speed: Claim, accuracy: Accuracy) -> str:
    """In one word or a few; ahead is faster at equal or better accuracy.

    Args:
        speed: what may be claimed of the one over the other.
        accuracy: likewise.
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
    """How many times faster, its interval, and the sign of the claim."""
    sign = {"faster": "+", "slower": "-", "none": ""}[ratio.claim(noise)]
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f}){sign}"
