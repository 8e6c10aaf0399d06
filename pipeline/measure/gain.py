"""When one candidate may be called faster than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Below this a difference is not worth a more complicated candidate, and is close to what two runs of
# the same file show on a shared machine.
MINIMUM_GAIN = 0.03
_RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times faster: the slower's time over the faster's, with a 95 % interval over rounds."""

    value: float
    low: float
    high: float

    @property
    def is_gain(self) -> bool:
        """Whether a gain may be claimed: more than 3 %, and the interval excludes 1."""
        return self.value > 1 + MINIMUM_GAIN and self.low > 1


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
    draws = np.random.default_rng(0).integers(0, len(ratios), size=(_RESAMPLES, len(ratios)))
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(np.median(ratios[draws], axis=1), [tail, 1 - tail])
    return Ratio(value=float(np.median(ratios)), low=float(low), high=float(high))
