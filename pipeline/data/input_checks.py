"""Check a split against the inputs and the task of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.domain import occurring
from pipeline._handlers.sizes import fits_shape, require_sizes
from pipeline.engine.array_files import pieces
from pipeline.errors import DataError
from pipeline.tasks.task import Task

if TYPE_CHECKING:  # it imports this module
    from pipeline.data.dataset import Split

_MOST_COLUMNS = 12


def check_split(where: str, split: Split, inputs: Sequence[InputSpec], *, outputs: int, task: Task) -> None:
    """Check a split against the inputs and the task of a model.

    Args:
        where: name of the split, for messages.
        split: split that is checked.
        inputs: specifications of the inputs of one example.
        outputs: number of the network's outputs.
        task: task of the network.

    Raises:
        DataError: the split is empty, of unequal lengths, of the wrong shape or dtype, out of the domain, or its labels
            do not fit the task.
    """
    if split.labels is not None:
        task.check_targets(where, split.labels, exactly=True)
    if len(split) == 0:
        raise DataError(f"{where}: expected at least one example, found none")
    if split.labels is not None:
        task.check_values(where, split.labels, outputs=outputs)
    expected = {spec.name for spec in inputs}
    if set(split.inputs) != expected:
        raise DataError(f"{where}: expected inputs {sorted(expected)}, found {sorted(split.inputs)}")
    alike = f"of input {next(iter(split.inputs))}" if split.labels is None else "labels"
    for spec in inputs:
        check_input(f"{where}: input {spec.name}", split.inputs[spec.name], spec, len(split), alike=alike)
    try:
        require_sizes({spec.name: split.inputs[spec.name].shape[1:] for spec in inputs}, inputs)
    except BadRequest as problem:
        raise DataError(f"{where}: {problem}") from problem


def check_input(where: str, raw: Any, spec: InputSpec, count: int, *, alike: str) -> None:
    """Check the values of one input of a split.

    Args:
        where: name of the input, for messages.
        raw: values that are checked, (N, *shape) if they are right.
        spec: specification of the input.
        count: number of examples of the split.
        alike: what gave that number, for messages.

    Raises:
        DataError: the values are of another number, shape or dtype, or out of the domain.
    """
    if not isinstance(raw, np.ndarray):
        raise DataError(f"{where}: expected a numpy array, found {type(raw).__name__}; give np.asarray(values)")
    if raw.dtype != np.dtype(spec.dtype):
        raise DataError(f"{where}: expected dtype {spec.dtype}, found {raw.dtype}{_conversion(raw.dtype, spec)}")
    if len(raw) != count:
        raise DataError(f"{where}: expected {count} examples, as many as {alike}, found {len(raw)}")
    if not fits_shape(raw.shape[1:], spec):
        sizes = ["any" if axis in spec.dynamic_axes else str(size) for axis, size in enumerate(spec.shape)]
        raise DataError(f"{where}: expected shape (N, {', '.join(sizes)}), found {raw.shape}")
    if raw.dtype.kind == "f":
        _check_numbers(where, raw, spec)
    # Unlike `min` and `max`, these ignore NaN; only missing values are NaN here.
    low, high = np.fmin.reduce(raw, axis=None), np.fmax.reduce(raw, axis=None)
    if low < spec.low or high > spec.high:
        raise DataError(f"{where}: expected values from {spec.low:g} to {spec.high:g}, found {low:g} to {high:g}")
    occurs = np.concatenate([occurring(raw[rows], spec) for rows in pieces(raw)])
    if not occurs.all():
        raise DataError(
            f"{where}: expected only what occurs of the input names ({', '.join(spec.occurs)}), found zeros alone, or "
            f"the largest value alone, in {(~occurs).sum()} of {count} examples, first in example {occurs.argmin()}; "
            "leave them out, or name zeros or maximum in occurs"
        )


def _check_numbers(where: str, raw: NDArray[Any], spec: InputSpec) -> None:
    """Refuse infinite values, and NaN where no value may be missing, with their number and columns."""
    if any(np.isinf(raw[rows]).any() for rows in pieces(raw)):
        infinite = np.isinf(raw)
        raise DataError(
            f"{where}: expected finite values, found infinite ones, {_places(infinite)}; limit them, or leave their "
            "examples out"
        )
    if not spec.missing and any(np.isnan(raw[rows]).any() for rows in pieces(raw)):
        missing = np.isnan(raw)
        raise DataError(
            f"{where}: expected numbers, found NaN, {_places(missing)}; fill the gaps, or, if the network takes NaN, "
            "declare that values may be missing: InputSpec(..., missing=True)"
        )


def _places(wrong: NDArray[np.bool_]) -> str:
    """The number of wrong values and of examples with them, in words, and in a table their columns."""
    examples = wrong.reshape(len(wrong), -1).any(axis=1)
    extent = f"{wrong.sum()} of {wrong.size} values in {examples.sum()} of {len(wrong)} examples"
    if wrong.ndim != 2:
        return extent
    columns = np.flatnonzero(wrong.any(axis=0)).tolist()
    more = f" and {len(columns) - _MOST_COLUMNS} more" if len(columns) > _MOST_COLUMNS else ""
    return f"{extent}, in column{'s'[: len(columns) - 1]} {', '.join(map(str, columns[:_MOST_COLUMNS]))}{more}"


def _conversion(dtype: np.dtype[Any], spec: InputSpec) -> str:
    """Advice about a wrong dtype, as the end of a message."""
    if dtype.kind in "iufb":
        return f'; convert them with .astype("{spec.dtype}")'
    return "; encode them as numbers" if dtype.kind in "UOS" else ""
