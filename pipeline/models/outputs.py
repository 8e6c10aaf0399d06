"""What a network answers with: one float32 tensor of examples by classes, or a line that says what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UsageError

_SHOWN = 6


def check_outputs(outputs: object, *, rows: int, classes: int, where: str) -> None:
    """Check that a network answers with one float32 tensor (B, K) on the CPU.

    Args:
        outputs: what it answered.
        rows: number of examples it was given, B.
        classes: number of them, K.
        where: for messages.

    Raises:
        UsageError: it answers with something else; the message says what to do.
    """
    expected = f"{where}: expected one float32 tensor of shape ({rows}, {classes}), examples by classes"
    if not isinstance(outputs, Tensor):
        raise UsageError(f"{expected}, found {describe(outputs)}; {_which_part(outputs, (rows, classes))}")
    found = f"{expected}, found {describe(outputs)}"
    if tuple(outputs.shape) != (rows, classes):
        raise UsageError(f"{found}; {_reshaping(tuple(outputs.shape), rows, classes)}")
    if outputs.dtype != torch.float32:
        raise UsageError(f"{found}; build the network in float32, or end its forward with .float()")
    if outputs.device.type != "cpu":
        raise UsageError(f"{found} on {outputs.device}; a forward must answer on the device of its inputs")


def short_dtype(dtype: torch.dtype) -> str:
    """Name of a dtype without its library's."""
    return str(dtype).removeprefix("torch.")


def describe(value: object) -> str:
    """Kind, dtype and shape of a value, or of the parts of one that has several."""
    if isinstance(value, Tensor):
        return f"{short_dtype(value.dtype)} {tuple(value.shape)}"
    parts = _parts(value)
    if not parts:
        return type(value).__name__
    shown = ", ".join(
        f"{key} {describe(part) if isinstance(part, Tensor) else type(part).__name__}" for key, part in parts
    )
    return f"{type(value).__name__} with {shown}"


def _parts(value: object) -> list[tuple[str, Any]]:
    """What an answer of several parts consists of, by how each part is reached."""
    parts: list[tuple[str, Any]] = []
    if isinstance(value, Mapping):
        parts = [(f"[{key!r}]", part) for key, part in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        parts = [(f".{name}", getattr(value, name)) for name in value._fields]
    elif isinstance(value, tuple | list):
        parts = [(f"[{place}]", part) for place, part in enumerate(value)]
    elif hasattr(value, "__dict__"):
        parts = [(f".{name}", part) for name, part in vars(value).items() if not name.startswith("_")]
    return parts[:_SHOWN]


def _which_part(outputs: object, shape: tuple[int, int]) -> str:
    fitting = [key for key, part in _parts(outputs) if isinstance(part, Tensor) and tuple(part.shape) == shape]
    part = f"its part {fitting[0]}" if fitting else "the outputs of the classes"
    return f"return {part} alone, from this forward or from a module around this one"


def _reshaping(shape: tuple[int, ...], rows: int, classes: int) -> str:
    """What to do about outputs of another shape."""
    match shape:
        case ():
            return "return the outputs of the classes; a loss is computed by train.loss"
        case (first, *others) if first == rows and sum(others) == len(others):
            if classes > 1:
                return (
                    f"this product tells classes apart, with an output for each: end in a layer of {classes} outputs; "
                    "regression, and one output for two classes, are not done"
                )
        case (first, second) if first == rows:
            return (
                f"give the last layer {classes} outputs, or the data the {second} classes that the network tells apart"
            )
        case (first, second) if (second, first) == (rows, classes):
            return "the batch axis comes first: transpose it"
        case (first, second, *others) if (first, second) == (rows, classes) and sum(others) == len(others):
            return "end its forward with .flatten(1)"
        case (first, *_) if first == rows:
            return "each example has one class here, not one for each pixel or step: pool them to one answer an example"
        case _:
            pass
    return "as many examples must come out, along the first axis, as went in"
