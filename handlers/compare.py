"""The one function that says whether two arrays of answers are the same, and the limits it is used with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far an answer may be from the expected one.

    |found - expected| <= absolute + relative * |expected| + steps * max |expected| / 255

    Args:
        absolute: in the unit of the compared values.
        relative: share of the expected value.
        steps: output steps, for errors that do not shrink with the value. A step is what eight bits can tell apart:
            1/255 of the largest expected value of the same call of the model.
        same_decision: whether the largest value of a row (last axis) must be the same one as well, wherever it leads by
            more than the limit.
    """

    absolute: float
    relative: float
    steps: float = 0.0
    same_decision: bool = False

    def to_json(self) -> dict[str, float | bool]:
        """As JSON values."""
        return {
            "absolute": self.absolute,
            "relative": self.relative,
            "steps": self.steps,
            "same_decision": self.same_decision,
        }


# Float32 keeps 24 bits; a sum of a few thousand products taken in another order, fused or not, moves a logit of 10 by
# some 1e-5 (measured: 9e-6 on logits up to 6, in any batch size). Ten times that is still far below any change of a
# weight that a person could have meant.
FLOAT32 = Tolerance(absolute=1e-4, relative=1e-4)

# Dynamic int8, the same file with and without graph optimizations, in the same batches: a last-bit difference in a
# float layer moves an activation that lies on a rounding boundary by a whole step, and with it all logits, large and
# small. Measured on six trained networks, 2,800 inputs each: up to 0.0015 of the largest logit (0.4 steps);
# quantization itself costs 0.003 to 0.010 of it. The absolute part is for logits that are all near zero (an untrained
# network: 0.0005 on logits of 0.2).
INT8_DYNAMIC = Tolerance(absolute=1e-3, relative=0.0, steps=1.25, same_decision=True)

# Static int8, the same file with and without graph optimizations: integer kernels on one side, float sums of the same
# quantized values on the other. Most answers agree to the last bit; where a sum lies on a rounding boundary, an
# activation differs by a whole step, and the layers behind it spread that, up to a half of what quantization itself
# costs. Measured, 2,400 inputs each, as a share of a row's largest logit: up to 0.0038 (1 step) on six files of three
# trained networks (quantization: 0.007), 0.0076 on an untrained MobileNetV2 (0.019). An untrained ResNet-18, at 0.066
# (0.22), fails: what hangs on rounding so much is another model on the next kind of CPU.
INT8_STATIC = Tolerance(absolute=1e-3, relative=0.0, steps=5.1, same_decision=True)

# Bfloat16, the same file: a value keeps 8 bits, so a sum taken in another order moves it by up to 0.004 of itself, and
# the layers behind it spread that. On the processor that made it, the file answers as its module does, to the last bit.
# Measured between a processor that computes in bfloat16 and one that emulates it, as a share of a row's largest logit:
# 0.0006 (two convolutions) to 0.012 (MobileNetV2, a vision transformer); bfloat16 itself costs 0.006 to 0.025 of it.
BFLOAT16 = Tolerance(absolute=1e-3, relative=0.0, steps=5.1, same_decision=True)

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
    limit = tolerance.absolute + tolerance.relative * magnitude
    if tolerance.steps:
        limit = limit + tolerance.steps * _output_step(magnitude, batch_size)
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


def _output_step(magnitude: NDArray[np.float64], batch_size: int | None) -> NDArray[np.float64]:
    """Of each value's call of the model, in a shape that fits the values."""
    if batch_size is None or not magnitude.ndim:
        return np.asarray(magnitude.max() / _STEPS_IN_RANGE)
    rows = magnitude.reshape(len(magnitude), -1).max(axis=1)
    starts = np.arange(0, len(rows), batch_size)
    calls = np.repeat(np.maximum.reduceat(rows, starts), batch_size)[: len(rows)]
    steps: NDArray[np.float64] = calls.reshape(-1, *(1,) * (magnitude.ndim - 1)) / _STEPS_IN_RANGE
    return steps


def _turned_decision(expected: NDArray[np.float64], found: NDArray[np.float64], limit: NDArray[np.float64]) -> str:
    """The first row (last axis) whose largest value is another one though it led by more than its limit; else empty."""
    rows = expected.shape[-1]
    reference, answer, limits = (values.reshape(-1, rows) for values in (expected, found, limit))
    right, chosen = reference.argmax(axis=1), answer.argmax(axis=1)
    every = np.arange(len(reference))
    lead = reference[every, right] - reference[every, chosen]
    turned = np.flatnonzero(lead > limits[every, right])
    if not turned.size:
        return ""
    row = int(turned[0])
    return (
        f"at [{row}]: expected {right[row]} to be the largest, ahead of {chosen[row]} by {lead[row]:.3g}, found it "
        f"behind; a lead above {limits[row, right[row]]:.3g} must stay one"
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
