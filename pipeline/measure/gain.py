"""Decide when one candidate may be called faster than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# A smaller gain is not worth a more complicated candidate, and is close to the difference between two runs of the same
# file on a shared machine.
MINIMUM_GAIN = 0.03
_RESAMPLES = 2000
_CONFIDENCE = 0.95

Claim = Literal["faster", "slower", "none"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A median over rounds, with a 95 % interval over rounds."""

    value: float
    low: float
    high: float

    def scaled(self, factor: float) -> Estimate:
        """The same estimate in another unit."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Ratio(Estimate):
    """The baseline's time over the candidate's, with a 95 % interval over rounds: how many times faster it is."""

    @property
    def is_gain(self) -> bool:
        """Whether a gain may be claimed: more than 3 %, and the interval excludes 1."""
        return self.value > 1 + MINIMUM_GAIN and self.low > 1

    @property
    def inverse(self) -> Ratio:
        """The same ratio as the other file sees it."""
        return Ratio(value=1 / self.value, low=1 / self.high, high=1 / self.low)

    def claim(self, noise: Ratio | None = None) -> Claim:
        """The claim that may be made about the two files.

        Args:
            noise: ratio of a file over its own copy, timed in the same rounds; no smaller ratio counts as a gain.
        """
        floor = 1.0 if noise is None else max(1.0, noise.high, noise.inverse.high)
        if self.is_gain and self.low > floor:
            return "faster"
        return "slower" if self.inverse.is_gain and self.inverse.low > floor else "none"

    def to_json(self, noise: Ratio | None = None) -> dict[str, Any]:
        """The ratio as JSON values, with the claim that may be made."""
        return {**asdict(self), "claim": self.claim(noise)}


def estimate(rounds: Sequence[float]) -> Estimate:
    """The median over rounds, with a percentile bootstrap interval over rounds.

    Args:
        rounds: values, one per round; at least one.
    """
    values = np.asarray(rounds, dtype=np.float64)
    low, high = _interval(values)
    return Estimate(value=float(np.median(values)), low=low, high=high)


def times(value: float) -> str:
    """Write how many times something is something else."""
    return f"{value:.2f}" if round(value, 2) < 10 else f"{value:.1f}"


def interval(ratio: Ratio) -> str:
    """Write both ends of a ratio's interval, each with as many decimals as show on which side of 1 it lies."""
    return f"{_beside_one(ratio.low)} to {_beside_one(ratio.high)}"


def _beside_one(end: float) -> str:
    texts = (times(end), *(f"{end:.{decimals}f}" for decimals in range(3, 9)))
    return next((text for text in texts if float(text) != 1), "1.00")


def speed_up(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> Ratio:
    """The median over rounds of baseline time over candidate time.

    Rounds are paired, so whatever slowed a whole round cancels. The interval is a percentile bootstrap over rounds, not
    over calls, because calls within a round are not independent.

    Args:
        baseline_s: seconds per call of the baseline, one value per round.
        candidate_s: seconds per call of the candidate in the same rounds.

    Raises:
        ValueError: the numbers of rounds differ, or there are none.
    """
    if len(baseline_s) != len(candidate_s) or not baseline_s:
        raise ValueError(f"expected paired rounds, found {len(baseline_s)} and {len(candidate_s)}")
    ratios = np.asarray(baseline_s, dtype=np.float64) / np.asarray(candidate_s, dtype=np.float64)
    low, high = _interval(ratios)
    return Ratio(value=float(np.median(ratios)), low=low, high=high)


def _interval(values: NDArray[np.float64]) -> tuple[float, float]:
    draws = np.random.default_rng(0).integers(0, len(values), size=(_RESAMPLES, len(values)))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(np.median(values[draws], axis=1), [tail, 1 - tail])
    return float(low), float(high)
