"""The one function that says whether two arrays of answers are the same."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .tolerance import Tolerance

# Two libraries, or two batch sizes, take the sums of a network in another order: each is about as far from float64 as
# torch is, in another direction, and further for some inputs than for the few on which the noise is measured.
NOISE_FACTOR = 16.0
# Share of the usual spread, where a network cannot be run in float64. Measured: 2e-8 (two convolutions) to 1e-6 (an
# Inception-v3) for networks that float32 suits.
UNMEASURED_NOISE = 1e-5

# Of the largest answer: eight units in the last place of float32. Answers that are all alike have no spread.
LAST_BITS = 8 * 2.0**-24

_STEPS_IN_RANGE = 255


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came out of comparing two arrays.

    Args:
        passed: whether every value is within its limit.
        reason: one clause saying why not; empty if passed.
        max_absolute: largest |found - expected|.
        max_relative: largest |found - expected| / |expected|; infinite where a zero was expected and not found.
        cosine: of the angle between both, as flat vectors; 1 for two zero vectors.
        argmax_agreement: share of rows (last axis) with the same largest element.
        position: index of the value that is worst against its limit; None where values could not be compared.
        expected: the value expected there.
        found: the value found there.
        limit: the largest difference allowed there.
    """

    passed: bool
    reason: str
    max_absolute: float
    max_relative: float
    cosine: float
    argmax_agreement: float
    position: tuple[int, ...] | None
    expected: float
    found: float
    limit: float

    def to_json(self) -> dict[str, Any]:
        """As JSON values; a number that JSON has no form for is null."""
        return {
            "passed": self.passed,
            "reason": self.reason,
            "max_absolute": _finite(self.max_absolute),
            "max_relative": _finite(self.max_relative),
            "cosine": _finite(self.cosine),
            "argmax_agreement": _finite(self.argmax_agreement),
            "position": None if self.position is None else list(self.position),
            "expected": _finite(self.expected),
            "found": _finite(self.found),
            "limit": _finite(self.limit),
        }


def fitted(tolerance: Tolerance, answers: NDArray[Any], *, noise: float | None = None) -> Tolerance:
    """A tolerance for the answers of one network.

    Args:
        tolerance: for those of any network.
        answers: (N, ...), to real inputs; finite.
        noise: how far float32 takes an answer of this network from the one in float64, in the unit of the answers;
            None where it was not measured.
    """
    usual = usual_spread(answers)
    rounding = NOISE_FACTOR * (UNMEASURED_NOISE * usual if noise is None else noise)
    written = LAST_BITS * float(np.abs(answers).max())
    return replace(tolerance, absolute=tolerance.absolute + rounding + written, usual_spread=usual)


def compare(
    expected: NDArray[Any], found: NDArray[Any], tolerance: Tolerance, *, batch_size: int | None = None
) -> Comparison:
    """Compare answers element by element.

    Args:
        expected: any shape, usually logits (N, K).
        found: the same shape and dtype.
        tolerance: the limit.
        batch_size: rows (first axis) that came from one call of the model; None where all of them did.

    Returns:
        The comparison. Another shape, another dtype, no values, NaN or infinity never pass.
    """
    if expected.shape != found.shape:
        return _incomparable(f"shape: expected {list(expected.shape)}, found {list(found.shape)}")
    if expected.dtype != found.dtype:
        return _incomparable(f"dtype: expected {expected.dtype}, found {found.dtype}")
    if expected.size == 0:
        return _incomparable(f"nothing to compare: shape {list(expected.shape)}")
    reference, answer = expected.astype(np.float64), found.astype(np.float64)
    for name, values in (("expected", reference), ("found", answer)):
        if not np.isfinite(values).all():
            position = tuple(int(axis) for axis in np.argwhere(~np.isfinite(values))[0])
            return _incomparable(
                f"{name} value at {list(position)} is {values[position]}",
                position=position,
                expected=float(reference[position]),
                found=float(answer[position]),
            )
    difference = np.abs(answer - reference)
    magnitude = np.abs(reference)
    limit = limits_of(reference, tolerance, batch_size=batch_size)
    # As a multiple of its own limit, so that a value that passes is not called worst for having a small limit.
    strain = np.divide(difference, limit, out=np.where(difference > 0, np.inf, 0.0), where=limit > 0)
    position = tuple(int(axis) for axis in np.unravel_index(int(np.argmax(strain)), strain.shape))
    relative = np.divide(difference, magnitude, out=np.where(difference > 0, np.inf, 0.0), where=magnitude > 0)
    if (difference <= limit).all():
        reason = _turned_decision(reference, answer, limit) if tolerance.same_decision else ""
    else:
        reason = (
            f"at {list(position)}: expected {reference[position]:.6g}, found {answer[position]:.6g}, "
            f"difference {difference[position]:.3g}, limit {limit[position]:.3g}"
        )
    return Comparison(
        passed=not reason,
        reason=reason,
        max_absolute=float(difference.max()),
        max_relative=float(relative.max()),
        cosine=_cosine(reference.ravel(), answer.ravel()),
        argmax_agreement=float(np.mean(reference.argmax(axis=-1) == answer.argmax(axis=-1))),
        position=position,
        expected=float(reference[position]),
        found=float(answer[position]),
        limit=float(limit[position]),
    )


def limits_of(
    expected: NDArray[np.float64], tolerance: Tolerance, *, batch_size: int | None = None
) -> NDArray[np.float64]:
    """How far each value may be from the expected one, in the same shape.

    Args:
        expected: any shape but an empty one.
        tolerance: the limit.
        batch_size: rows (first axis) that came from one call of the model; None where all of them did.
    """
    magnitude = np.abs(expected)
    limits: NDArray[np.float64] = tolerance.absolute + tolerance.relative * magnitude
    if tolerance.spread:
        widest = _of_call(_ranges(expected), batch_size, expected.ndim)
        limits = limits + tolerance.spread * np.maximum(widest, tolerance.usual_spread)
    if tolerance.steps:
        limits = limits + tolerance.steps / _STEPS_IN_RANGE * _of_call(_largest(magnitude), batch_size, expected.ndim)
    return limits


def tells_nothing_apart(answers: NDArray[Any], tolerance: Tolerance) -> bool:
    """Whether one and the same answer to all examples would be within the limits.

    Args:
        answers: (N, ...), N of 1 or more.
        tolerance: the limit; each row is a call of its own.
    """
    expected = answers.astype(np.float64)
    if not np.isfinite(expected).all():
        return False  # nothing passes
    limits = limits_of(expected, tolerance, batch_size=1)
    # A value that is in reach of every example's.
    return bool(((expected - limits).max(axis=0) <= (expected + limits).min(axis=0)).all())


def usual_spread(answers: NDArray[Any]) -> float:
    """How far apart the answers of a network usually lie.

    Args:
        answers: (N, ...), N of 1 or more; finite.

    Returns:
        The median over rows of how far the largest and the smallest value of a row lie apart; where a row holds one
        value only, how far the rows lie apart.
    """
    values = answers.astype(np.float64)
    return float(np.median(_ranges(values))) or float(values.max() - values.min())


def _ranges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the largest and the smallest value of each row (first axis) lie apart, (N,)."""
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    ranges: NDArray[np.float64] = rows.max(axis=1) - rows.min(axis=1)
    return ranges


def _largest(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest value of each row (first axis), (N,)."""
    rows = magnitude.reshape(len(magnitude), -1) if magnitude.ndim else magnitude.reshape(1, 1)
    largest: NDArray[np.float64] = rows.max(axis=1)
    return largest


def _of_call(rows: NDArray[np.float64], batch_size: int | None, axes: int) -> NDArray[np.float64]:
    """The largest of some figures of rows (N,) in the same call of the model, in a shape that fits the values."""
    if batch_size is None or not axes:
        return np.asarray(rows.max())
    starts = np.arange(0, len(rows), batch_size)
    calls: NDArray[np.float64] = np.repeat(np.maximum.reduceat(rows, starts), batch_size)[: len(rows)]
    return calls.reshape(-1, *(1,) * (axes - 1))


def turned_decisions(expected: NDArray[Any], found: NDArray[Any], tolerance: Tolerance) -> NDArray[np.intp]:
    """Rows whose largest value is another one, though the expected one leads by more than its limit.

    Args:
        expected: (N, K), finite.
        found: (N, K).
        tolerance: the limit; each row is a call of its own.
    """
    reference = expected.astype(np.float64)
    return _turned(reference, found.astype(np.float64), limits_of(reference, tolerance, batch_size=1))


def _turned(expected: NDArray[np.float64], found: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.intp]:
    right, chosen = expected.argmax(axis=1), found.argmax(axis=1)
    every = np.arange(len(expected))
    return np.flatnonzero(expected[every, right] - expected[every, chosen] > limit[every, right])


def _turned_decision(expected: NDArray[np.float64], found: NDArray[np.float64], limit: NDArray[np.float64]) -> str:
    """The first row (last axis) whose largest value is another one though it led by more than its limit; else empty."""
    values = expected.shape[-1]
    reference, answer, limits = (one.reshape(-1, values) for one in (expected, found, limit))
    turned = _turned(reference, answer, limits)
    if not turned.size:
        return ""
    row = int(turned[0])
    right, chosen = int(reference[row].argmax()), int(answer[row].argmax())
    return (
        f"at [{row}]: expected {right} to be the largest, ahead of {chosen} by "
        f"{reference[row, right] - reference[row, chosen]:.3g}, found it behind; a lead above {limits[row, right]:.3g} "
        "must stay one"
    )


def _cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    if norms == 0:
        return 1.0 if not first.any() and not second.any() else 0.0
    return min(1.0, float(first @ second) / norms)


def _incomparable(
    reason: str,
    *,
    position: tuple[int, ...] | None = None,
    expected: float = math.nan,
    found: float = math.nan,
) -> Comparison:
    return Comparison(
        passed=False,
        reason=reason,
        max_absolute=math.inf,
        max_relative=math.inf,
        cosine=math.nan,
        argmax_agreement=0.0,
        position=position,
        expected=expected,
        found=found,
        limit=math.nan,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
