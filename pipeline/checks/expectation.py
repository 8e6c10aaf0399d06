"""Expectations: a kind of inputs, the reference's answers to them, and how far other answers may be off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.compare import (
    LAST_BITS,
    Comparison,
    Noise,
    by_output,
    compare,
    fitted,
    tells_nothing_apart,
    usual_spread,
)
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.model_file import run_chunks
from pipeline._handlers.sizes import size_groups
from pipeline._handlers.tolerance import FLOAT32, Tolerance
from pipeline.checks.reference import Reference
from pipeline.data.free_axis_sizes import EXAMPLES
from pipeline.data.synthetic import synthetic_kinds
from pipeline.errors import ProofError

REAL = "real"
# So many examples of a kind are used to compare float32 with float64.
_NOISE_EXAMPLES = 8
# This is a share of the spread of the answers. Where rounding moves them by more, float32 keeps less than three digits
# of them, and another order of the same sums gives other answers: made-up inputs of that kind measure nothing.
_UNSTEADY = 1e-3
# A network of more multiply-accumulates for an example is costly: all examples of every kind, at every batch size and
# on several calls, would take minutes for each candidate. Of real ones so many multiply-accumulates' worth are answered
# at a batch size, of made-up ones a few.
COSTLY_MACS = 50_000_000
_MOST_MACS = 256 * COSTLY_MACS
_FEWEST = 8


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """A kind of inputs on which a file is compared with the reference.

    Args:
        kind: name of the kind: `real`, made-up inputs, or real inputs of other sizes.
        arrays: inputs, (N, *shape) by name.
        expected: answers of the reference (N, K) by batch size, from whole calls of so many consecutive examples; of a
            costly network fewer, to the first ones.
        tolerance: tolerance for other answers, fitted to the network and the kind.
        noise: largest difference between the answers in float32 and in float64, one for each of several outputs; None
            where it is not known.
    """

    kind: str
    arrays: Mapping[str, NDArray[Any]]
    expected: Mapping[int, NDArray[np.float32]]
    tolerance: Tolerance
    noise: Noise

    def hold(self, answers: NDArray[Any], batch_size: int) -> Comparison:
        """Compare answers (N, K) to the same inputs, in calls of so many examples, with those of the reference."""
        return compare(self.expected[batch_size], answers, self.tolerance, batch_size=batch_size)

    @property
    def tells_nothing_apart(self) -> bool:
        """Whether a single answer, the same for all of the inputs, would be within the limits."""
        return tells_nothing_apart(self.expected[1], self.tolerance)


def make_expectations(
    reference: Reference,
    inputs: Sequence[InputSpec],
    samples: Mapping[str, NDArray[Any]],
    batch_sizes: Sequence[int],
    tolerance: Tolerance,
    *,
    macs: int = 0,
) -> tuple[list[Expectation], dict[str, str]]:
    """Compute the reference's answers to real and made-up inputs.

    Args:
        reference: reference that answers.
        inputs: specs of the inputs, in the order the model takes them.
        samples: `input.<name>` (N, *shape): real inputs, and groups of other sizes, if any.
        batch_sizes: examples per call; 1 is among them.
        tolerance: tolerance for any network.
        macs: multiply-accumulates of the network for one example; above `COSTLY_MACS` fewer examples are answered.

    Returns:
        An expectation for each kind of inputs, the real ones first; and, by kind, the reasons why made-up inputs are
        left out: the reference raises on them, answers NaN or infinity, or answers what float32 cannot hold.

    Raises:
        ProofError: the reference raises at another size that the float network accepts.
    """
    real = {spec.name: samples[f"input.{spec.name}"] for spec in inputs}
    first = _expectation(REAL, reference, real, batch_sizes, tolerance, usual=None, macs=macs)
    expectations, left_out = [first], {}
    for kind, arrays in synthetic_kinds(inputs, max(batch_sizes), real=real).items():
        try:
            expectation = _expectation(
                kind, reference, arrays, batch_sizes, tolerance, usual=first.expected[1], macs=macs
            )
        except Exception as error:  # noqa: BLE001 - a network may raise anything on inputs that it was not made for
            left_out[kind] = f"the network itself raises {type(error).__name__}: {_first_line(error)}"
            continue
        reason = _unsteady(expectation)
        if reason:
            left_out[kind] = reason
        else:
            expectations.append(expectation)
    sizes = sorted({1, min(EXAMPLES, max(batch_sizes))})
    for group in size_groups(samples, inputs):
        kind = sized_kind(group.sizes)
        try:
            expectation = _expectation(
                kind, reference, group.inputs, sizes, tolerance, usual=first.expected[1], macs=macs
            )
        except Exception as error:
            # The samples hold only sizes at which the float network answers.
            raise ProofError(f"{reference.name}: expected an answer to {kind} inputs: {_first_line(error)}") from error
        reason = _unsteady(expectation)
        if reason and reference.module is not None:
            left_out[kind] = reason
        else:
            expectations.append(expectation)
    return expectations, left_out


def sized_kind(sizes: str) -> str:
    """The name of a kind of inputs: real ones of other sizes than the data's."""
    return f"{REAL} ({sizes})"


def widest(tolerances: Sequence[Tolerance]) -> Tolerance:
    """The tolerance that holds for all of a network's kinds of inputs."""
    if not tolerances[0].outputs:
        return max(tolerances, key=lambda tolerance: tolerance.absolute)
    each = zip(*(tolerance.outputs for tolerance in tolerances), strict=True)
    return replace(tolerances[0], outputs=tuple(max(limits, key=lambda limit: limit.absolute) for limits in each))


def measured_noise(reference: Reference, arrays: Mapping[str, NDArray[Any]], tolerance: Tolerance = FLOAT32) -> Noise:
    """Measure how far a reference's float32 answers are from its float64 answers, on the first examples of a batch.

    Args:
        reference: reference that answers.
        arrays: inputs (N, *shape) by input name.
        tolerance: tolerance that knows of the outputs, if there are several.

    Returns:
        The largest difference, or that of each of several outputs; 0 for a reference that has no float64 form on
        purpose, None where it cannot run in float64.
    """
    if reference.exact is None:
        return 0.0
    batch = {name: array[:_NOISE_EXAMPLES] for name, array in arrays.items()}
    exact = reference.exact(batch)
    rounded = reference.answer(batch)
    if exact is None or exact.shape != rounded.shape or not np.isfinite(exact).all():
        return None
    apart = [float(values.max()) for _, values, _ in by_output(np.abs(exact - rounded), tolerance)]
    return tuple(apart) if tolerance.outputs else apart[0]


def _expectation(
    kind: str,
    reference: Reference,
    arrays: Mapping[str, NDArray[Any]],
    batch_sizes: Sequence[int],
    tolerance: Tolerance,
    *,
    usual: NDArray[np.float32] | None,
    macs: int,
) -> Expectation:
    expected = {
        size: run_chunks(reference.answer, first_rows(arrays, rows), size)
        for size in batch_sizes
        if (rows := _rows(kind, size, arrays, macs))
    }
    answers = expected[1] if usual is None else usual
    finite = all(np.isfinite(values).all() for values in (*expected.values(), answers))
    noise = measured_noise(reference, first_rows(arrays, len(expected[1])), tolerance) if finite else None
    return Expectation(
        kind=kind,
        arrays=arrays,
        expected=expected,
        tolerance=fitted(tolerance, answers, noise=noise) if finite else tolerance,
        noise=noise,
    )


def first_rows(arrays: Mapping[str, NDArray[Any]], rows: int) -> dict[str, NDArray[Any]]:
    """The first rows of arrays (N, ...), by name."""
    return {name: array[:rows] for name, array in arrays.items()}


def _rows(kind: str, size: int, arrays: Mapping[str, NDArray[Any]], macs: int) -> int:
    """How many examples of a kind are answered in calls of so many; 0 where the kind has nothing to show there."""
    count = len(next(iter(arrays.values())))
    if macs <= COSTLY_MACS:
        return count
    match kind:
        case "zeros" | "maximum":  # all of them are the same
            rows = max(size, 2) if size <= _FEWEST else 0
        case "noise":
            rows = max(size, _FEWEST)
        case _:
            rows = max(size, _FEWEST, _MOST_MACS // macs)
    return min(rows, count)


def _unsteady(expectation: Expectation) -> str:
    """The reason why answers to a kind of made-up inputs measure nothing; empty where they measure something."""
    answers = expectation.expected[1]
    broken = int((~np.isfinite(answers)).reshape(len(answers), -1).any(axis=1).sum())
    if broken:
        return f"the network itself answers NaN or infinity to {broken} of {len(answers)}"
    parts = by_output(answers, expectation.tolerance)
    noises = expectation.noise if isinstance(expectation.noise, tuple) else (expectation.noise,) * len(parts)
    for noise, (output, values, tolerance) in zip(noises, parts, strict=True):
        spread = max(usual_spread(values), tolerance.usual_spread)
        if noise is not None and noise > _UNSTEADY * spread + LAST_BITS * float(np.abs(values).max()):
            return (
                f"the network's own answers in float32 and float64 lie {noise:.2g} apart, of a spread of {spread:.2g} "
                f"between its answers{output and f', at output {output}'}"
            )
    return ""


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else ""
