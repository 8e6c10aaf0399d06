"""Sizes of free axes other than those of the data: which to try, and real examples of them.

What is proven at one size says nothing about others: exporters take a size that they cannot reason about for a
constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.sizes import in_shape

# Of each size: enough to fill a small batch, and to measure a range on.
EXAMPLES = 8

Shape = tuple[int, ...]


def with_shared_names(inputs: Sequence[InputSpec], shapes: Sequence[Mapping[str, Shape]]) -> tuple[InputSpec, ...]:
    """Name free axes alike that have one size in all data, as tokens and their mask have, unless they are named.

    The data cannot show that such axes are independent. Within one input, axes are: the first of some size is held
    against the first of that size in the other inputs, the second against the second.

    Args:
        inputs: of a data set.
        shapes: of one example by input name, a mapping for each split.

    Returns:
        The inputs, those with names whose axes share one with another input.
    """
    first: dict[tuple[tuple[int, ...], int], tuple[str, str]] = {}
    named: dict[str, dict[int, str]] = {}
    for spec in inputs:
        seen: dict[tuple[int, ...], int] = {}
        for axis in spec.dynamic_axes:
            sizes = tuple(shape[spec.name][axis] for shape in shapes)
            key = sizes, seen.setdefault(sizes, 0)
            seen[sizes] += 1
            owner, name = first.setdefault(key, (spec.name, spec.size_name(axis)))
            if owner != spec.name and not spec.dynamic_names:
                named.setdefault(spec.name, {})[axis] = name
                named.setdefault(owner, {})
    return tuple(
        replace(
            spec, dynamic_names=tuple(named[spec.name].get(axis, spec.size_name(axis)) for axis in spec.dynamic_axes)
        )
        if spec.name in named
        else spec
        for spec in inputs
    )


def size_plan(inputs: Sequence[InputSpec], shapes: Mapping[str, Shape]) -> list[dict[str, int]]:
    """Sizes to try besides those of the data: the smallest allowed, some between, larger ones; all axes differ.

    Args:
        inputs: of the model.
        shapes: of one example of the data, by input name.

    Returns:
        A size for each name of a free axis, several times; empty where no axis is free.
    """
    ladders = {name: _ladder(*bounds) for name, bounds in _bounds(inputs, shapes).items()}
    plan: list[dict[str, int]] = []
    for step in range(max((len(sizes) for sizes in ladders.values()), default=0)):
        chosen: dict[str, int] = {}
        for place, (name, sizes) in enumerate(ladders.items()):
            # Each axis is a step ahead of the one before, so that no two sizes can be taken for each other.
            turned = [sizes[(step + place + ahead) % len(sizes)] for ahead in range(len(sizes))]
            fresh = [size for size in turned if size not in chosen.values()]
            if turned:
                chosen[name] = (fresh or turned)[0]
        if chosen not in plan:
            plan.append(chosen)
    return plan


def single_steps(inputs: Sequence[InputSpec], shapes: Mapping[str, Shape], name: str) -> list[dict[str, int]]:
    """Other sizes of one axis alone, all others as in the data; see `size_plan`."""
    return [{**sizes_of(inputs, shapes), name: size} for size in _ladder(*_bounds(inputs, shapes)[name])]


def sizes_of(inputs: Sequence[InputSpec], shapes: Mapping[str, Shape]) -> dict[str, int]:
    """Sizes of the free axes of one example, by the axes' names."""
    return {name: size for name, (_, size, _) in _bounds(inputs, shapes).items()}


def resized(
    arrays: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec], sizes: Mapping[str, int]
) -> dict[str, NDArray[Any]]:
    """The first few examples in other sizes: cut off at the end, or repeated from the start.

    Args:
        arrays: (N, *shape) by input name.
        inputs: of the model.
        sizes: by name of the free axis; an axis that is not named keeps its size.
    """
    resized_arrays = {}
    for spec in inputs:
        examples = arrays[spec.name][:EXAMPLES]
        shape = list(examples.shape[1:])
        for axis in spec.dynamic_axes:
            shape[axis] = sizes.get(spec.size_name(axis), shape[axis])
        resized_arrays[spec.name] = in_shape(examples, tuple(shape))
    return resized_arrays


def has_distinct_sizes(arrays: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec], rows: int) -> bool:
    """Whether no free axis has one element, or the size of the batch, of another free axis or of a fixed one.

    Args:
        arrays: (N, *shape) by input name.
        inputs: of the model.
        rows: of the batch.
    """
    shapes = {spec.name: arrays[spec.name].shape[1:] for spec in inputs}
    sizes = list(sizes_of(inputs, shapes).values())
    fixed = {size for spec in inputs for axis, size in enumerate(shapes[spec.name]) if axis not in spec.dynamic_axes}
    return len(set(sizes)) == len(sizes) and not {*sizes} & {1, rows, *fixed}


def free_axes(inputs: Sequence[InputSpec]) -> dict[str, str]:
    """By name of a free axis, the input and axis that it was first declared for, in words."""
    axes: dict[str, str] = {}
    for spec in inputs:
        for axis in spec.dynamic_axes:
            axes.setdefault(spec.size_name(axis), f"axis {axis} of input {spec.name}")
    return axes


def declared(inputs: Sequence[InputSpec], name: str) -> bool:
    """Whether a largest size is declared for a free axis, by its name."""
    return any(
        spec.size_name(axis) == name and spec.size_range(axis)[1] is not None
        for spec in inputs
        for axis in spec.dynamic_axes
    )


def _bounds(inputs: Sequence[InputSpec], shapes: Mapping[str, Shape]) -> dict[str, tuple[int, int, int | None]]:
    """Smallest allowed, of the data, largest allowed, by name of the axis."""
    bounds: dict[str, tuple[int, int, int | None]] = {}
    for spec in inputs:
        for axis in spec.dynamic_axes:
            smallest, largest = spec.size_range(axis)
            name, size = spec.size_name(axis), shapes[spec.name][axis]
            if name in bounds:
                lower, _, upper = bounds[name]
                smallest = max(smallest, lower)
                largest = upper if largest is None else largest if upper is None else min(largest, upper)
            bounds[name] = smallest, size, largest
    return bounds


def _ladder(smallest: int, size: int, largest: int | None) -> list[int]:
    """Sizes besides the data's own, in order."""
    if largest is None:
        # Half and twice suit networks that halve a size again and again; one more suits none that needs even sizes.
        return sorted({smallest, max(size // 2, smallest), 2 * size, 2 * size + 1} - {size})
    # A network that takes multiples alone can be declared by ends that are multiples.
    step = math.gcd(smallest, size, largest)
    between = [low + (high - low) // 2 // step * step for low, high in ((smallest, size), (size, largest))]
    return sorted({smallest, *between, largest} - {size})
