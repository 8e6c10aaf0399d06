"""Makes synthetic inputs: zeros, the largest values of the domain, noise."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.domain import occurring

_SEED = 0
# Bound where neither the domain nor real values have one. It is wide enough to leave the linear range of any usual
# preprocessing.
_UNBOUNDED = 3.0
# Share of missing values in the noise for an input whose values may be missing. With it, many examples have gaps and
# some have none.
_MISSING_SHARE = 0.2


def synthetic_kinds(
    inputs: Sequence[InputSpec], count: int, *, real: Mapping[str, NDArray[Any]] | None = None
) -> dict[str, dict[str, NDArray[Any]]]:
    """Make examples of each kind: `zeros` (or the value of the domain nearest to it), `maximum`, `noise`.

    If values of an input may be missing, some values of its noise are.

    Args:
        inputs: specifications of the inputs of one example.
        count: number of examples of each kind.
        real: real inputs (N, *shape) by name; their smallest and largest values count where a domain has no bound.

    Returns:
        Arrays (count, *shape) by input name, by kind; the same on every call. Kinds that do not occur for all inputs
        are left out.
    """
    generator = np.random.default_rng(_SEED)
    kinds: dict[str, dict[str, NDArray[Any]]] = {"zeros": {}, "maximum": {}, "noise": {}}
    for spec in inputs:
        shape, dtype = (count, *spec.shape), np.dtype(spec.dtype)
        if spec.columns:
            rows_by_kind = _table_rows(spec, count, None if real is None else real[spec.name], generator)
            for kind, rows in rows_by_kind.items():
                kinds[kind][spec.name] = rows
            continue
        low, high = _domain(spec, None if real is None else real[spec.name])
        kinds["zeros"][spec.name] = np.full(shape, min(max(0.0, low), high), dtype)
        kinds["maximum"][spec.name] = np.full(shape, high, dtype)
        kinds["noise"][spec.name] = (
            generator.integers(math.ceil(low), math.floor(high), shape, dtype=dtype, endpoint=True)
            if dtype.kind in "iu"
            else generator.uniform(low, high, shape).astype(dtype)
        )
        occurs = occurring(kinds["noise"][spec.name], spec)
        if occurs.any() and not occurs.all():  # where a domain holds few values
            kinds["noise"][spec.name][~occurs] = kinds["noise"][spec.name][occurs.argmax()]
        if spec.missing:
            kinds["noise"][spec.name][generator.random(shape) < _MISSING_SHARE] = np.nan
    return {kind: arrays for kind, arrays in kinds.items() if all(kind in spec.occurs for spec in inputs)}


def synthetic_inputs(
    inputs: Sequence[InputSpec],
    count: int,
    *,
    real: Mapping[str, NDArray[Any]] | None = None,
    leave_out: Collection[str] = (),
) -> dict[str, NDArray[Any]]:
    """Make one example of zeros, one of the largest values, and noise; see `synthetic_kinds`.

    Args:
        inputs: specifications of the inputs of one example.
        count: number of examples in all; there are fewer if noise is left out.
        real: real inputs (N, *shape) by name; their smallest and largest values count where a domain has no bound.
        leave_out: kinds that are left out.

    Returns:
        Arrays (N, *shape) by input name, N of at most `count`.
    """
    all_kinds = synthetic_kinds(inputs, count, real=real)
    kinds = {kind: arrays for kind, arrays in all_kinds.items() if kind not in leave_out}
    rows = {kind: slice(None if kind == "noise" else 1) for kind in kinds}
    return {
        spec.name: np.concatenate(
            [np.zeros((0, *spec.shape), spec.dtype), *(kinds[kind][spec.name][rows[kind]] for kind in kinds)]
        )[:count]
        for spec in inputs
    }


def _table_rows(
    spec: InputSpec, count: int, real: NDArray[Any] | None, generator: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """Rows (count, F) of each kind: every column has its own domain, and a category is a whole number."""
    ends = [
        (0.0, len(column.categories) - 1.0)
        if column.categories
        else _domain(spec, None if real is None else real[:, index])
        for index, column in enumerate(spec.columns)
    ]
    low, high = np.array(ends).T
    noise = generator.uniform(low, high, (count, len(ends)))
    categories = [index for index, column in enumerate(spec.columns) if column.categories]
    noise[:, categories] = np.rint(noise[:, categories])
    if spec.missing:
        noise[generator.random(noise.shape) < _MISSING_SHARE] = np.nan
    rows = {"zeros": np.clip(0.0, low, high), "maximum": high, "noise": noise}
    return {kind: np.broadcast_to(values, noise.shape).astype(spec.dtype) for kind, values in rows.items()}


def _domain(spec: InputSpec, real: NDArray[Any] | None) -> tuple[float, float]:
    low, high = -_UNBOUNDED, _UNBOUNDED
    if real is not None and not (math.isfinite(spec.low) and math.isfinite(spec.high)):
        ends = float(np.fmin.reduce(real, axis=None)), float(np.fmax.reduce(real, axis=None))
        low, high = (low, high) if math.isnan(ends[0]) else ends  # they ignore NaN unless there is nothing else
    return spec.low if math.isfinite(spec.low) else low, spec.high if math.isfinite(spec.high) else high
