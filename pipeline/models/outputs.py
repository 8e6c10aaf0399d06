"""Checks that a network answers with one float32 tensor of examples by classes, and says what to do otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UsageError
from pipeline.tasks.task import Task

_SHOWN = 6


def check_outputs(outputs: object, *, rows: int, classes: int, task: Task, where: str) -> None:
    """Check that a network answers with one float32 tensor (B, K) on the CPU.

    Args:
        outputs: answer of the network.
        rows: number of examples in the call, B.
        classes: number of outputs, K.
        task: task of the network.
        where: name of the network, for messages.

    Raises:
        UsageError: the network answers with something else; the message says what to do.
    """
    expected = f"{where}: expected one float32 tensor of shape ({rows}, {classes}), examples by classes"
    if not isinstance(outputs, Tensor):
        raise UsageError(f"{expected}, found {describe(outputs)}; {_which_part(outputs, (rows, classes))}")
    mismatch = f"{expected}, found {describe(outputs)}"
    if tuple(outputs.shape) != (rows, classes):
        raise UsageError(f"{mismatch}; {task.reshaping(tuple(outputs.shape), rows=rows, outputs=classes)}")
    if outputs.dtype != torch.float32:
        raise UsageError(f"{mismatch}; build the network in float32, or end its forward with .float()")
    if outputs.device.type != "cpu":
        raise UsageError(f"{mismatch} on {outputs.device}; a forward must answer on the device of its inputs")


def short_dtype(dtype: torch.dtype) -> str:
    """Name of a dtype without the name of its library."""
    return str(dtype).removeprefix("torch.")


def describe(value: object) -> str:
    """Type, dtype and shape of a value, or of its parts if it has several."""
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
    """The parts of an answer, each with the expression that reaches it."""
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
