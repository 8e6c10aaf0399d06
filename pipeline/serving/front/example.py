"""A body that a model takes, for a person who does not know the model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from pipeline._handlers.decode import InputSpec

# Nobody reads more values than these.
_MOST_VALUES = 4096
# One grey pixel, as a PNG file in base64: the shortest picture that every input of pictures takes.
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
# Numbers of an example come again after so many steps of this length; whole numbers have steps of 1.
_MOST_STEPS = 9
_STEP = 0.1


def example_body(inputs: Sequence[InputSpec]) -> dict[str, Any] | None:
    """Return a body of one instance, as JSON values; None where it would have more values than a person reads.

    Args:
        inputs: the model's inputs.
    """
    if sum(math.prod(spec.shape) for spec in inputs if spec.decoding is None) > _MOST_VALUES:
        return None
    values = {spec.name: _value(spec) for spec in inputs}
    return {"instances": [values if len(inputs) > 1 else next(iter(values.values()))]}


def _value(spec: InputSpec) -> Any:
    if spec.decoding is not None:
        return {"b64": _PIXEL}
    numbers = _numbers(spec)
    if spec.columns:
        return {
            column.name: column.categories[0] if column.categories else number
            for column, number in zip(spec.columns, numbers, strict=False)
        }
    return _nested(spec.shape, numbers)


def _nested(shape: tuple[int, ...], numbers: Iterator[float]) -> Any:
    if not shape:
        return next(numbers)
    if len(shape) == 1:
        return list(islice(numbers, shape[0]))
    return [_nested(shape[1:], numbers) for _ in range(shape[0])]


def _numbers(spec: InputSpec) -> Iterator[float]:
    """Count in small steps from the value nearest to zero, inside the domain, again and again.

    An input may refuse one value everywhere, so that the first number is another one than the nearest to zero.
    """
    start = spec.nearest_to_zero
    room = spec.high - start or spec.low - start
    whole = spec.dtype != "float32"
    step = math.copysign(min(1.0 if whole else _STEP, abs(room)), room)
    steps = math.floor(min(_MOST_STEPS, abs(room / step))) if step else 0
    place = 0
    while True:
        place = place + 1 if place < steps else 0
        number = min(max(round(start + place * step, 6), spec.low), spec.high)
        yield int(number) if whole else number
