"""The values that an input takes: they are finite or missing, inside its bounds, and some never fill an example."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .columns import check_categories
from .decode import DType, InputSpec

NO_MISSING = "; this input has no missing values"


def check_values(array: NDArray[Any], spec: InputSpec) -> None:
    """Check that values are finite, or missing where they may be, and inside the bounds, and that they can occur.

    Args:
        array: values in the input's dtype, any shape.
        spec: the input.

    Raises:
        BadRequest: a value is wrong, or one value fills the array that never does; the text names it, and where it is.
    """
    if array.dtype.kind == "f":
        right = ~np.isinf(array) if spec.missing else np.isfinite(array)
        if not right.all():
            position = _first_position(~right)
            place = f"in column {spec.columns[position[-1]].name}" if spec.columns else f"at {list(position)}"
            raise BadRequest(
                f"input {spec.name}: non-finite value {place}",
                expected="finite numbers" + (", and NaN for missing values" if spec.missing else NO_MISSING),
                found=str(array[position]),
            )
    if spec.columns:
        check_categories(array, f"input {spec.name}", spec.columns)
    bounds = _bounds(array.dtype, spec.dtype, spec.low, spec.high)
    if bounds is not None and array.size:
        low, high = bounds
        # Unlike `min` and `max`, these functions ignore NaN. By now only a missing value is NaN.
        if np.fmin.reduce(array, axis=None) < low or np.fmax.reduce(array, axis=None) > high:
            position = _first_position((array < low) | (array > high))
            raise BadRequest(
                f"input {spec.name}: value out of its domain at {list(position)}",
                expected=f"{spec.low:g} to {spec.high:g}",
                found=str(array[position]),
            )
    for value in _never_alone(spec):
        if array.size and (array == value).all():
            raise BadRequest(
                f"input {spec.name}: one value everywhere, which this model is not made for",
                expected=f"another value than {value:g} somewhere",
                found=f"{value:g} alone",
            )


def occurring(examples: NDArray[Any], spec: InputSpec) -> NDArray[np.bool_]:
    """Tell which examples can occur: an input may say that one value never fills a whole example.

    Args:
        examples: examples (N, *shape).
        spec: the input.

    Returns:
        A flag for each example, (N,).
    """
    occurs = np.ones(len(examples), dtype=np.bool_)
    for value in _never_alone(spec):
        occurs &= ~(examples == value).all(axis=tuple(range(1, examples.ndim)))
    return occurs


def _never_alone(spec: InputSpec) -> list[float]:
    """List the values that never fill a whole example."""
    values = []
    if "zeros" not in spec.occurs:
        values.append(spec.nearest_to_zero)
    if "maximum" not in spec.occurs:
        values.append(spec.high)
    return values


@cache
def _bounds(dtype: np.dtype[Any], own_dtype: DType, low: float, high: float) -> tuple[Any, Any] | None:
    """Return the bounds in the input's own dtype; None where no finite value of an array's dtype is outside.

    Args:
        dtype: dtype of the array.
        own_dtype: dtype of the input; a value that it does not hold is outside.
        low: smallest allowed value.
        high: largest allowed value.
    """
    if own_dtype == "float32":  # with bounds in the input's own precision, a bound itself is always inside
        return None if (low, high) == (-math.inf, math.inf) else (np.float32(low), np.float32(high))
    smallest, largest = np.iinfo(own_dtype).min, np.iinfo(own_dtype).max
    if dtype.name == own_dtype and low <= smallest and high >= largest:
        return None
    return max(low, smallest), min(high, largest)


def _first_position(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    return tuple(int(axis) for axis in cast("NDArray[np.intp]", np.argwhere(wrong))[0])
