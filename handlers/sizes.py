"""Axes whose size a request may choose: the sizes that are allowed, and files with examples of several sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .decode import InputSpec

_GROUP = "size."
_LOGITS = "logits."


@dataclass(frozen=True, kw_only=True)
class SizeGroup:
    """Examples that have the same size, different from that of other groups.

    Args:
        sizes: sizes of their free axes, in words.
        inputs: arrays (N, *shape) by input name.
        logits: answers (N, K) by batch size; empty where none are stored.
    """

    sizes: str
    inputs: Mapping[str, NDArray[Any]]
    logits: Mapping[int, NDArray[np.float32]] = field(default_factory=dict)


def pack_size_groups(groups: Sequence[SizeGroup]) -> dict[str, NDArray[Any]]:
    """Pack examples of several sizes into a file's arrays: `size.<number>.input.<name>`, `size.<number>.logits.<b>`."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, group in enumerate(groups):
        start = f"{_GROUP}{number}."
        arrays |= {f"{start}input.{name}": np.ascontiguousarray(values) for name, values in group.inputs.items()}
        arrays |= {f"{start}{_LOGITS}{size}": np.ascontiguousarray(values) for size, values in group.logits.items()}
    return arrays


def size_groups(stored: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]) -> tuple[SizeGroup, ...]:
    """Read what `pack_size_groups` packed.

    Args:
        stored: arrays of a file, which may hold other arrays too.
        inputs: inputs of the model.

    Returns:
        The groups in the order in which they were packed; none for a file without them.

    Raises:
        KeyError: an input has no array.
        ValueError: an array has another number of axes than its input.
    """
    groups: list[SizeGroup] = []
    while f"{(start := f'{_GROUP}{len(groups)}.')}input.{inputs[0].name}" in stored:
        arrays = {spec.name: stored[f"{start}input.{spec.name}"] for spec in inputs}
        for spec in inputs:
            if arrays[spec.name].ndim != len(spec.shape) + 1:
                raise ValueError(
                    f"{start}input.{spec.name}: expected {len(spec.shape) + 1} axes, found {arrays[spec.name].ndim}"
                )
        logits = {
            int(key.removeprefix(f"{start}{_LOGITS}")): values
            for key, values in stored.items()
            if key.startswith(f"{start}{_LOGITS}")
        }
        # safetensors gives the arrays of a file in any order.
        logits = dict(sorted(logits.items()))
        groups.append(SizeGroup(sizes=sizes_in_words(arrays, inputs), inputs=arrays, logits=logits))
    return tuple(groups)


def sizes_in_words(arrays: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]) -> str:
    """Describe the sizes of all free axes, such as `height of 14, width of 57`; empty where no axis is free.

    Args:
        arrays: arrays (N, *shape) by input name.
        inputs: inputs of the model.
    """
    shapes = {name: array.shape[1:] for name, array in arrays.items()}
    sizes = {name: size for _, _, name, size in _free_axes(shapes, inputs)}
    return ", ".join(f"{name} of {size}" for name, size in sizes.items())


def fits_shape(shape: tuple[int, ...], spec: InputSpec) -> bool:
    """Tell whether an example's shape is that of an input, whatever the sizes of free axes."""
    return len(shape) == len(spec.shape) and all(
        size == expected or (axis in spec.dynamic_axes and size > 0)
        for axis, (size, expected) in enumerate(zip(shape, spec.shape, strict=True))
    )


def in_shape(examples: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Bring examples into another shape: each axis is cut off at its end, or repeated from its start.

    Args:
        examples: examples (N, ...), with one axis more than `shape`.
        shape: shape of each example in the result.
    """
    for axis, size in enumerate(shape, start=1):
        if examples.shape[axis] != size:
            examples = np.take(examples, np.arange(size) % examples.shape[axis], axis=axis)
    return np.ascontiguousarray(examples)


def require_sizes(shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[InputSpec], *, where: str = "") -> None:
    """Stop where an example's sizes are outside what the inputs declare.

    Args:
        shapes: shapes of one example by input name, each with as many axes as the input.
        inputs: inputs of the model.
        where: beginning of the message, such as `instance 3, `.

    Raises:
        BadRequest: a size is out of its range, or axes of one name have different sizes.
    """
    axes: dict[str, tuple[str, int]] = {}
    for spec, axis, name, size in _free_axes(shapes, inputs):
        smallest, largest = spec.size_range(axis)
        if size < smallest or (largest is not None and size > largest):
            raise BadRequest(
                f"{where}input {spec.name}: size of axis {axis} out of its range",
                expected=f"{smallest} to {largest}" if largest is not None else f"{smallest} or more",
                found=str(size),
            )
        first_axis, first_size = axes.setdefault(name, (f"{spec.name} axis {axis}", size))
        if size != first_size:
            raise BadRequest(
                f"{where}input {spec.name}: size of axis {axis} differs from that of {first_axis}",
                expected=f"one size of {name}, {first_size}",
                found=str(size),
            )


def _free_axes(
    shapes: Mapping[str, tuple[int, ...]], inputs: Sequence[InputSpec]
) -> Iterator[tuple[InputSpec, int, str, int]]:
    """Yield input, axis, name and size of each free axis."""
    for spec in inputs:
        for axis in spec.dynamic_axes:
            yield spec, axis, spec.size_name(axis), shapes[spec.name][axis]
