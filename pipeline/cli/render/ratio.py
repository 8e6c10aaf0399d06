"""A ratio as a cell of a table."""

from __future__ import annotations

from pipeline.measure.gain import Ratio, times

_SIGN = {"faster": "+", "slower": "-", "none": " "}


def ratio_cell(ratio: Ratio, noise: Ratio | None = None) -> str:
    """Write a ratio, its interval, and what may be claimed of it: `+` faster, `-` slower.

    Args:
        ratio: how many times faster it is.
        noise: ratio of a file over its own copy, as for `Ratio.claim`.
    """
    return f"{times(ratio.value)} ({times(ratio.low)}-{times(ratio.high)}){_SIGN[ratio.claim(noise)]}"
