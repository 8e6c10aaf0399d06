"""Checks of what a network returns: one tensor of examples by classes, or several tensors of fixed shapes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline._handlers.description_checks import checked_line
from pipeline._handlers.outputs import OutputSpec
from pipeline.errors import UsageError
from pipeline.models.parts import choose, leaves, output_name, parts_of
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


def chosen_parts(returned: object, choice: Sequence[str], *, where: str) -> list[tuple[str, object]]:
    """The parts that `model.output` chooses, or all of them, each with its path and without any parts of its own.

    Args:
        returned: what the network returned.
        choice: paths of the parts that count; empty for all.
        where: name of the network, for messages.

    Raises:
        UsageError: there is no such part, or none at all.
    """
    parts: list[tuple[str, object]] = []
    for path in choice:
        try:
            parts += leaves(choose(returned, path), path)
        except KeyError as error:
            names = ", ".join(name for name, _ in leaves(returned)) or "none"
            raise UsageError(
                f"{where}: model.output: expected a part of what it returns ({names}), found {path}"
            ) from error
    parts = parts or list(leaves(returned))
    if not parts:
        raise UsageError(f"{where}: expected tensors, found {describe(returned)}")
    return parts


def chosen_output(returned: object, choice: Sequence[str], *, where: str) -> object:
    """The one part that `model.output` chooses, in float32 where it holds shorter numbers.

    Args:
        returned: what the network returned; a network without parts, in this mode at least, is left as it is.
        choice: paths of the parts that count; empty if nothing is chosen.
        where: name of the network, for messages.

    Raises:
        UsageError: there is no such part, or it has parts itself.
    """
    if not choice or isinstance(returned, Tensor):
        return returned
    parts = chosen_parts(returned, choice, where=where)
    if len(parts) > 1:
        raise UsageError(
            f"{where}: model.output: expected one tensor, found {', '.join(path for path, _ in parts)}; choose one of "
            'them, or take several by task.kind = "outputs"'
        )
    [(_, part)] = parts
    return part.to(torch.float32) if isinstance(part, Tensor) and part.is_floating_point() else part


@dataclass(frozen=True, kw_only=True)
class NamedOutputs:
    """The outputs of a network in the task `outputs`.

    Args:
        specs: their specifications, in order.
        casts: names of those that come in another floating-point type than float32, with that type.
    """

    specs: tuple[OutputSpec, ...]
    casts: dict[str, str]


def named_outputs(
    returned: object, choice: Sequence[str], *, rows: int, inputs: Collection[str], where: str
) -> NamedOutputs:
    """Check the outputs of a network in the task `outputs`, and name them.

    Args:
        returned: what the network returned.
        choice: paths of the parts that count; empty for all.
        rows: number of examples in the call, B.
        inputs: names of the inputs.
        where: name of the network, for messages.

    Raises:
        UsageError: an output is no tensor of floating-point numbers with an axis of examples on the CPU, or its name
            cannot be used; the message names it and says what to do.
    """
    lone = isinstance(returned, Tensor)
    parts: list[tuple[str, object]] = (
        [(choice[0] if choice else "", returned)] if lone else chosen_parts(returned, choice, where=where)
    )
    specs: list[OutputSpec] = []
    casts: dict[str, str] = {}
    for path, part in parts:
        name = output_name(path)
        _check_name(name, [*inputs, *(spec.name for spec in specs)], where=where)
        specs.append(_spec(name, part, rows=rows, where=where))
        if isinstance(part, Tensor) and part.dtype != torch.float32:
            casts[name] = short_dtype(part.dtype)
    return NamedOutputs(specs=tuple(specs), casts=casts)


def _spec(name: str, part: object, *, rows: int, where: str) -> OutputSpec:
    """The specification of one output, if it is a tensor of floating-point numbers by example."""
    others = "name the others in model.output, a list"
    expected = f"{where}: output {name}: expected a floating-point tensor, examples first"
    if not isinstance(part, Tensor):
        raise UsageError(f"{expected}, found {describe(part)}; {others}")
    if not part.is_floating_point():
        raise UsageError(
            f"{expected}, found {describe(part)}; whole numbers jump where the values behind them nearly tie, so that "
            f"no tolerance can hold them: return those values, or {others}"
        )
    if not part.ndim or part.shape[0] != rows:
        raise UsageError(
            f"{expected}, found {describe(part)} for {rows} examples; as many examples must come out, along the first "
            f"axis, as went in: mend its forward, or {others}"
        )
    if part.device.type != "cpu":
        raise UsageError(f"{expected}, found one on {part.device}; a forward must answer on the device of its inputs")
    if not part.numel():
        raise UsageError(f"{expected}, found {describe(part)}, which holds no values; {others}")
    return OutputSpec(name=name, shape=tuple(part.shape[1:]))


def _check_name(name: str, taken: Collection[str], *, where: str) -> None:
    try:
        checked_line(name, "output")
    except ValueError as error:
        raise UsageError(f"{where}: names of outputs: {error}; return it under another key") from error
    if name in taken:
        raise UsageError(
            f"{where}: output {name}: expected a name of its own, found it twice among inputs and outputs, which share "
            "one list in a model file; return it under another key, or give the InputSpec another name"
        )


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


def _parts(value: object) -> list[tuple[str, object]]:
    """The first parts of an answer, each with the expression that reaches it."""
    kind = "[{!r}]" if isinstance(value, Mapping) else ".{}"
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        kind = "[{}]"
    return [(kind.format(key), part) for key, part in parts_of(value)][:_SHOWN]


def _which_part(outputs: object, shape: tuple[int, int]) -> str:
    """Advice on how to come to one tensor, as the end of a message."""
    fitting = [key for key, part in _parts(outputs) if isinstance(part, Tensor) and tuple(part.shape) == shape]
    part = f"its part {fitting[0]}" if fitting else "the outputs of the classes"
    alone = f"return {part} alone, from this forward or from a module around this one"
    tensors = [(path, leaf) for path, leaf in leaves(outputs) if path and isinstance(leaf, Tensor)]
    paths = [path for path, leaf in tensors if tuple(leaf.shape) == shape] or [path for path, _ in tensors]
    return f'{alone}, or choose it by model.output = "{paths[0]}"' if paths else alone
