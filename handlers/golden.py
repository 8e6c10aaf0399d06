"""Checks that golden examples fit the description of a model, and that they can prove anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compare import by_output, limits_of, tells_nothing_apart
from .decode import InputSpec
from .description import Serving
from .sizes import fits_shape, size_groups

# A limit that is so many times the largest answer also accepts the opposite of that answer, and an answer of zeros.
_ACCEPTS_ALL = 2.0


def require_golden(serving: Serving, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Stop where golden examples do not fit the description, or their tolerance would accept every answer.

    Args:
        serving: description of the packed model.
        arrays: arrays of the golden file, by name.

    Raises:
        ValueError: an array does not fit; the text names it, what was expected of it and what was found.
    """
    name, tolerance = serving.golden.file, serving.golden.tolerance
    if tolerance.outputs or serving.outputs:
        limits = [(limit.name, limit.shape) for limit in tolerance.outputs]
        # Where the model has no outputs of its own, each label may have a unit of its own.
        outputs = [(spec.name, spec.shape) for spec in serving.outputs] or [(label, ()) for label in serving.labels]
        if limits != outputs:
            raise ValueError(
                f"golden.tolerance: expected a limit for each of the outputs {_names(outputs)}, found {_names(limits)}"
            )
    try:
        groups = size_groups(arrays, serving.inputs)
        inputs = {spec.name: arrays[f"input.{spec.name}"] for spec in serving.inputs}
        answers = {size: arrays[f"logits.{size}"] for size in serving.golden.batch_sizes}
    except KeyError as error:
        raise ValueError(f"{name}: expected an array {error}, found none") from error
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    _require_examples(name, serving, inputs, answers)
    for group in groups:
        _require_examples(name, serving, group.inputs, group.logits)
    for size, logits in answers.items():
        for output, expected, own in by_output(logits.astype(np.float64), tolerance):
            limit = float(limits_of(expected, own, batch_size=size).min())
            largest = float(np.abs(expected).max())
            if 0 < largest * _ACCEPTS_ALL < limit:
                raise ValueError(
                    f"golden.tolerance: {f'output {output}: ' if output else ''}expected a limit far below the largest "
                    f"golden answer, {largest:.3g}, found {limit:.3g} in batches of {size}, which accepts every answer"
                )


def proves_nothing(serving: Serving, arrays: Mapping[str, NDArray[Any]]) -> bool:
    """Tell whether a model that gives all golden examples one and the same answer would pass.

    Args:
        serving: description of the packed model.
        arrays: arrays of the golden file, which passed `require_golden`.
    """
    golden = serving.golden
    answers = arrays[f"logits.{golden.batch_sizes[0]}"]
    return len(answers) > 1 and tells_nothing_apart(answers, golden.tolerance)


def _names(outputs: Sequence[tuple[str, tuple[int, ...]]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in outputs) or "(none)"


def _require_examples(
    name: str, serving: Serving, inputs: Mapping[str, NDArray[Any]], answers: Mapping[int, NDArray[Any]]
) -> None:
    count = len(inputs[serving.inputs[0].name]) if inputs[serving.inputs[0].name].ndim else 0
    for spec in serving.inputs:
        _require_input(name, spec, inputs[spec.name], count)
    column = "value of the outputs" if serving.outputs else "label"
    for size, logits in answers.items():
        expected = (count, serving.columns)
        if size < 1 or logits.dtype != np.float32 or logits.shape != expected or not np.isfinite(logits).all():
            raise ValueError(
                f"{name}: logits.{size}: expected finite float32 of shape {list(expected)}, one row per golden input "
                f"and one column per {column}, found {logits.dtype} of shape {list(logits.shape)}"
                f"{'' if np.isfinite(logits).all() else ' with NaN or infinity'}"
            )


def _require_input(name: str, spec: InputSpec, values: NDArray[Any], count: int) -> None:
    if count < 1 or values.dtype != np.dtype(spec.dtype) or not _fits(values, spec) or len(values) != count:
        raise ValueError(
            f"{name}: input.{spec.name}: expected {spec.dtype} of shape {[max(count, 1), *spec.shape]}, as "
            f"serving.json describes it, found {values.dtype} of shape {list(values.shape)}"
        )


def _fits(values: NDArray[Any], spec: InputSpec) -> bool:
    return values.ndim > 0 and fits_shape(values.shape[1:], spec)
