"""The one function that says whether two arrays of answers are the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .outputs import OutputSpec
from .tolerance import OutputLimit, Tolerance

# How far answers in float32 are from those in float64: one number, or one for each of several outputs; None where it
# was not measured.
Noise = float | tuple[float, ...] | None

# Two libraries, or two batch sizes, compute the sums of a network in another order. Each result is about as far from
# float64 as torch's is, but in another direction, and further for some inputs than for the few on which the noise is
# measured.
NOISE_FACTOR = 16.0
# Assumed noise where a network cannot be run in float64, as a share of the usual spread. For networks that float32
# suits, 2e-8 (two convolutions) to 1e-6 (an Inception-v3) were measured.
UNMEASURED_NOISE = 1e-5

# Share of the largest answer: eight units in the last place of float32. It is needed where all answers are alike, for
# these have no spread.
LAST_BITS = 8 * 2.0**-24

_STEPS_IN_RANGE = 255


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The result of comparing two arrays.

    Args:
        passed: whether every value is within its limit.
        reason: one clause saying why not; empty if passed.
        max_absolute: largest |found - expected|.
        max_relative: largest |found - expected| / |expected|; infinite where a zero was expected and not found.
        cosine: cosine of the angle between both arrays, as flat vectors; 1 for two zero vectors.
        argmax_agreement: share of rows (last axis) with the same largest element.
        position: index of the value that is worst in relation to its limit; None where values could not be compared.
            With several outputs it is an index into the worst of them, whose first axis are the examples.
        expected: the value expected there.
        found: the value found there.
        limit: the largest difference allowed there.
        output: name of the worst output; empty for answers that are one output.
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
    output: str = ""

    @property
    def strain(self) -> float:
        """Return the worst difference as a multiple of its limit; infinite where values cannot be compared."""
        strain = abs(self.found - self.expected) / self.limit if self.limit else math.inf
        return math.inf if math.isnan(strain) else strain

    def to_json(self) -> dict[str, Any]:
        """Return the comparison as JSON values; a number that JSON has no form for is null."""
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
            **({"output": self.output} if self.output else {}),
        }


def in_outputs(tolerance: Tolerance, outputs: Sequence[OutputSpec]) -> Tolerance:
    """Return a tolerance that compares each of several outputs by itself; the same one for a single output.

    Args:
        tolerance: the tolerance for the answers of any network.
        outputs: outputs that lie in the columns of the answers; empty for a single one.
    """
    return replace(tolerance, outputs=tuple(OutputLimit(name=spec.name, shape=spec.shape) for spec in outputs))


def by_output(answers: NDArray[Any], tolerance: Tolerance) -> list[tuple[str, NDArray[Any], Tolerance]]:
    """Cut answers into outputs, each with its name and the tolerance for it.

    Args:
        answers: answers (N, K), or of any shape where the tolerance knows of no outputs.
        tolerance: the limit.

    Returns:
        Name, values (N, *shape) and tolerance of each output; a number has the shape (N, 1). For a tolerance that knows
        of no outputs it is the answers themselves, without a name.
    """
    if not tolerance.outputs:
        return [("", answers, tolerance)]
    columns = sum(math.prod(output.shape) for output in tolerance.outputs)
    if answers.shape[1:] != (columns,):
        raise ValueError(f"expected answers of {columns} values, as the outputs have, found {list(answers.shape[1:])}")
    parts: list[tuple[str, NDArray[Any], Tolerance]] = []
    start = 0
    for output in tolerance.outputs:
        end = start + math.prod(output.shape)
        limit = replace(
            tolerance,
            absolute=tolerance.absolute + output.absolute,
            usual_spread=max(tolerance.usual_spread, output.usual_spread),
            same_decision=False,
            outputs=(),
        )
        parts.append((output.name, answers[:, start:end].reshape(len(answers), *(output.shape or (1,))), limit))
        start = end
    return parts


def fitted(tolerance: Tolerance, answers: NDArray[Any], *, noise: Noise = None) -> Tolerance:
    """Fit a tolerance to the answers of one network.

    Args:
        tolerance: the tolerance for the answers of any network.
        answers: answers to real inputs, (N, ...); finite.
        noise: how far an answer of this network in float32 is from the same one in float64, in the unit of the answers;
            one number for each output of a tolerance that knows of several; None where it was not measured.
    """
    if tolerance.outputs:
        noises = noise if isinstance(noise, tuple) else (noise,) * len(tolerance.outputs)
        each = [
            fitted(replace(tolerance, absolute=0.0, outputs=()), values, noise=own)
            for own, (_, values, _) in zip(noises, by_output(answers, tolerance), strict=True)
        ]
        limits = [
            replace(output, absolute=limit.absolute, usual_spread=limit.usual_spread)
            for output, limit in zip(tolerance.outputs, each, strict=True)
        ]
        return replace(tolerance, outputs=tuple(limits))
    if isinstance(noise, tuple):
        raise ValueError(f"expected one number, because there is one output, found {len(noise)}")  # noqa: TRY004 - the tolerance is at fault
    usual = usual_spread(answers)
    rounding = NOISE_FACTOR * (UNMEASURED_NOISE * usual if noise is None else noise)
    written = LAST_BITS * float(np.abs(answers).max())
    return replace(tolerance, absolute=tolerance.absolute + rounding + written, usual_spread=usual)


def compare(
    expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance, *, batch_size: int | None = None
) -> Comparison:
    """Compare answers element by element.

    Args:
        expected: expected answers of any shape, usually logits (N, K).
        actual: answers of the same shape and dtype.
        tolerance: the limit.
        batch_size: rows (first axis) that came from one call of the model; None where all of them did.

    Returns:
        The comparison. It never passes with another shape, another dtype, no values, NaN or infinity.
    """
    if expected.shape != actual.shape:
        return _incomparable(f"shape: expected {list(expected.shape)}, found {list(actual.shape)}")
    if expected.dtype != actual.dtype:
        return _incomparable(f"dtype: expected {expected.dtype}, found {actual.dtype}")
    if expected.size == 0:
        return _incomparable(f"nothing to compare: shape {list(expected.shape)}")
    if tolerance.outputs:
        return _compare_outputs(expected, actual, tolerance, batch_size)
    reference, answer = expected.astype(np.float64), actual.astype(np.float64)
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
    # Each difference is taken as a multiple of its own limit: the worst value is the one nearest to failing.
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


def _compare_outputs(
    expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance, batch_size: int | None
) -> Comparison:
    """Compare each output within its own limits, and give the worst one's values the name of that output."""
    results = []
    for (name, reference, limit), (_, answers, _) in zip(
        by_output(expected, tolerance), by_output(actual, tolerance), strict=True
    ):
        result = compare(reference, answers, limit, batch_size=batch_size)
        results.append(replace(result, output=name, reason=result.reason and f"output {name} {result.reason}"))
    worst = max(results, key=lambda result: (not result.passed, result.strain))
    cosines = [result.cosine for result in results]
    return replace(
        worst,
        max_absolute=max(result.max_absolute for result in results),
        max_relative=max(result.max_relative for result in results),
        cosine=math.nan if any(map(math.isnan, cosines)) else min(cosines),
        argmax_agreement=min(result.argmax_agreement for result in results),
    )


def limits_of(
    expected: NDArray[np.float64], tolerance: Tolerance, *, batch_size: int | None = None
) -> NDArray[np.float64]:
    """Compute how far each value may be from the expected one, in the same shape.

    Args:
        expected: expected values of any shape but an empty one.
        tolerance: the limit.
        batch_size: rows (first axis) that came from one call of the model; None where all of them did.
    """
    if tolerance.outputs:
        parts = by_output(expected, tolerance)
        each = [limits_of(values, limit, batch_size=batch_size).reshape(len(values), -1) for _, values, limit in parts]
        return np.concatenate(each, axis=1)
    magnitude = np.abs(expected)
    limits: NDArray[np.float64] = tolerance.absolute + tolerance.relative * magnitude
    if tolerance.spread:
        widest = _largest_of_call(_ranges(expected), batch_size, expected.ndim)
        limits = limits + tolerance.spread * np.maximum(widest, tolerance.usual_spread)
    if tolerance.steps:
        limits = limits + tolerance.steps / _STEPS_IN_RANGE * _largest_of_call(
            _largest(magnitude), batch_size, expected.ndim
        )
    return limits


def tells_nothing_apart(answers: NDArray[Any], tolerance: Tolerance) -> bool:
    """Tell whether one and the same answer to all examples would be within the limits.

    Args:
        answers: answers (N, ...) to N examples, N of 1 or more.
        tolerance: the limit; each row is a call of its own.
    """
    if tolerance.outputs:
        # An output that is the same for all examples tells none apart, unless all are so: then nothing does.
        varied = [(values, own) for _, values, own in by_output(answers, tolerance) if (values != values[:1]).any()]
        return not varied or any(tells_nothing_apart(values, own) for values, own in varied)
    expected = answers.astype(np.float64)
    if not np.isfinite(expected).all():
        return False  # no answer passes
    limits = limits_of(expected, tolerance, batch_size=1)
    # At every position there is a value that is within the limits of every example.
    return bool(((expected - limits).max(axis=0) <= (expected + limits).min(axis=0)).all())


def usual_spread(answers: NDArray[Any]) -> float:
    """Compute how far apart the answers of a network usually lie.

    Args:
        answers: answers (N, ...) to N examples, N of 1 or more; finite.

    Returns:
        The median over rows of the difference between the largest and the smallest value of a row; where a row holds
        only one value, the difference between the largest and the smallest row.
    """
    values = answers.astype(np.float64)
    return float(np.median(_ranges(values))) or float(values.max() - values.min())


def _ranges(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the difference between the largest and the smallest value of each row (first axis), (N,)."""
    rows = values.reshape(len(values), -1) if values.ndim else values.reshape(1, 1)
    ranges: NDArray[np.float64] = rows.max(axis=1) - rows.min(axis=1)
    return ranges


def _largest(magnitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest value of each row (first axis), (N,)."""
    rows = magnitude.reshape(len(magnitude), -1) if magnitude.ndim else magnitude.reshape(1, 1)
    largest: NDArray[np.float64] = rows.max(axis=1)
    return largest


def _largest_of_call(rows: NDArray[np.float64], batch_size: int | None, axes: int) -> NDArray[np.float64]:
    """Replace each row's figure (N,) by the largest one of its call of the model, in a shape that fits the values."""
    if batch_size is None or not axes:
        return np.asarray(rows.max())
    starts = np.arange(0, len(rows), batch_size)
    calls: NDArray[np.float64] = np.repeat(np.maximum.reduceat(rows, starts), batch_size)[: len(rows)]
    return calls.reshape(-1, *(1,) * (axes - 1))


def turned_decisions(expected: NDArray[Any], actual: NDArray[Any], tolerance: Tolerance) -> NDArray[np.intp]:
    """Find the rows whose largest value is another one, though the expected one leads by more than its limit.

    Args:
        expected: expected logits (N, K), finite.
        actual: logits (N, K).
        tolerance: the limit; each row is a call of its own.
    """
    reference = expected.astype(np.float64)
    return _turned_rows(reference, actual.astype(np.float64), limits_of(reference, tolerance, batch_size=1))


def _turned_rows(
    expected: NDArray[np.float64], actual: NDArray[np.float64], limit: NDArray[np.float64]
) -> NDArray[np.intp]:
    right, chosen = expected.argmax(axis=1), actual.argmax(axis=1)
    every = np.arange(len(expected))
    return np.flatnonzero(expected[every, right] - expected[every, chosen] > limit[every, right])


def _turned_decision(expected: NDArray[np.float64], actual: NDArray[np.float64], limit: NDArray[np.float64]) -> str:
    """Describe the first row (last axis) that `_turned_rows` finds; the text is empty if there is none."""
    values = expected.shape[-1]
    reference, answer, limits = (array.reshape(-1, values) for array in (expected, actual, limit))
    turned = _turned_rows(reference, answer, limits)
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
