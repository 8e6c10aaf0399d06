"""When one candidate may be called faster than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

# Below this a difference is not worth a more complicated candidate, and is close to what two runs of
# the same file show on a shared machine.
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
        """The same in another unit."""
        return Estimate(value=self.value * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Ratio(Estimate):
    """How many times faster: the slower's time over the faster's, with a 95 % interval over rounds."""

    @property
    def is_gain(self) -> bool:
        """Whether a gain may be claimed: more than 3 %, and the interval excludes 1."""
        return self.value > 1 + MINIMUM_GAIN and self.low > 1

    @property
    def inverse(self) -> Ratio:
        """The same seen from the other one."""
        return Ratio(value=1 / self.value, low=1 / self.high, high=1 / self.low)

    def claim(self, noise: Ratio | None = None) -> Claim:
        """What may be said of the two.

        Args:
            noise: a file over its own copy, timed in the same rounds; what that shows by itself is no gain of another.
        """
        floor = 1.0 if noise is None else max(1.0, noise.high, noise.inverse.high)
        if self.is_gain and self.low > floor:
            return "faster"
        return "slower" if self.inverse.is_gain and self.inverse.low > floor else "none"

    def to_json(self, noise: Ratio | None = None) -> dict[str, Any]:
        """As JSON values, with what may be claimed."""
        return {**asdict(self), "claim": self.claim(noise)}


def estimate(rounds: Sequence[float]) -> Estimate:
    """Median over rounds, and a percentile bootstrap over rounds.

    Args:
        rounds: one value per round, at least one.
    """
    values = np.asarray(rounds, dtype=np.float64)
    low, high = _interval(values)
    return Estimate(value=float(np.median(values)), low=low, high=high)


def speed_up(baseline_s: Sequence[float], candidate_s: Sequence[float]) -> Ratio:
    """Median over rounds of baseline time over candidate time.

    Rounds are paired, so what slowed a whole round cancels; the interval is a percentile bootstrap
    over rounds, not over calls, since calls within a round are not independent.

    Args:
        baseline_s: seconds per call, one per round.
        candidate_s: the same rounds of the candidate.

    Raises:
        ValueError: not the same number of rounds, or none.
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
