"""The tensors in what a network returns: a tensor, a tuple, a dict, or an object with tensors as attributes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

# Prefix of the name of an output that has only a place.
PLACE = "output"
_MISSING = object()
# Answers are nested a few levels deep; an object that refers to itself is nested without end.
_DEEPEST = 16


def parts_of(value: object) -> list[tuple[str, Any]]:
    """The parts of an answer, each with the key, attribute or place that reaches it; empty for a tensor.

    Args:
        value: what a network returned, or a part of it.
    """
    if isinstance(value, Tensor):
        return []
    if isinstance(value, Mapping):
        return [(str(key), part) for key, part in value.items()]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return [(name, getattr(value, name)) for name in value._fields]
    if isinstance(value, tuple | list):
        return [(str(place), part) for place, part in enumerate(value)]
    if hasattr(value, "__dict__"):
        return [(name, part) for name, part in vars(value).items() if not name.startswith("_")]
    return []


def choose(value: object, path: str) -> object:
    """The part of an answer at a path.

    Args:
        value: what a network returned.
        path: keys, attributes or places, with dots between them; a place may be written as `output1` too.

    Raises:
        KeyError: there is no such part.
    """
    for number, key in enumerate(path.split(".")):
        part = _part(value, key)
        if part is _MISSING:
            # A key may hold dots itself.
            rest = path.split(".", number)[number]
            part = _part(value, rest)
            if part is _MISSING:
                raise KeyError(path)
            return part
        value = part
    return value


def _part(value: object, key: str) -> object:
    parts = dict(parts_of(value))
    place = key.removeprefix(PLACE)
    if key in parts:
        return parts[key]
    if place in parts and place.isdecimal():
        return parts[place]
    # A property is no attribute of the instance.
    return _MISSING if isinstance(value, Tensor | Mapping | Sequence) else getattr(value, key, _MISSING)


def leaves(value: object, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every part of an answer that has no parts itself, with its path; None, which stands for nothing, is left out.

    Args:
        value: what a network returned, or a part of it.
        path: path of the part; empty for the whole.
    """
    parts = parts_of(value) if path.count(".") < _DEEPEST else []
    if not parts and value is not None and not _is_empty(value):
        yield path, value
    for key, part in parts:
        yield from leaves(part, f"{path}.{key}" if path else key)


def output_name(path: str) -> str:
    """The name of an output: its path, or `output0` where that is a place; `output0` too for a network's only one."""
    first, dot, rest = (path or "0").partition(".")
    return f"{PLACE if first.isdecimal() else ''}{first}{dot}{rest}"


def _is_empty(value: object) -> bool:
    return isinstance(value, Mapping | tuple | list) and not value
