"""Conversion of nested lists of a JSON body to an array; kinds and counts are checked before any array is made."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .decode import InputSpec
from .domain import NO_MISSING, check_values
from .sizes import fits_shape

_KINDS = {bool: "true or false", str: "text", dict: "an object", float: "fractions", type(None): "null"}
# Largest number of levels of lists that a message describes.
_MOST_LEVELS = 8


def input_array(value: Any, where: str, spec: InputSpec, *, words: bool = True) -> NDArray[Any]:
    """Turn nested lists into an array of the input's dtype, and of its shape except for free axes; check every value.

    Args:
        value: nested lists, as for `to_array`.
        where: instance and input, for messages.
        spec: the input.
        words: whether `true` or `false` may be among the numbers.

    Raises:
        BadRequest: the shape is another one, or a value is not one that the input takes.
    """
    return as_input(to_array(value, where, spec, words=words), spec)


def as_input(array: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Check every value of an array from a JSON body, and cast it to the input's dtype.

    Args:
        array: values of any shape, in a dtype that holds whatever JSON may hold.
        spec: the input.

    Raises:
        BadRequest: a value is not one that the input takes.
    """
    if array.dtype.kind == "f" and not np.isinf(array).any():
        with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite and is named below
            array = array.astype(np.float32)
    check_values(array, spec)  # this comes before the cast to a narrower integer, which would wrap
    return array.astype(spec.dtype, copy=False)


def to_array(value: Any, where: str, spec: InputSpec, *, words: bool = True) -> NDArray[Any]:
    """Turn nested lists into an array of the input's shape except for free axes, which have any size above zero.

    The dtype is not left to numpy, which chooses one that holds all values: one long text among a thousand empty ones
    would become a thousand long texts.

    Args:
        value: value in the JSON body: lists of lists of numbers, or of null where a value is missing.
        where: instance and input, for messages.
        spec: the input.
        words: whether `true` or `false`, which Python takes for numbers, may be among them.

    Returns:
        An array of float64 for an input of float32, else of uint8, int64 or uint64, whichever holds the values.

    Raises:
        BadRequest: the shape is another one, or a value is not a number of the input's kind.
    """
    shape: list[int] = []
    values: Sequence[Any] = [value]
    for axis, size in enumerate(spec.shape):
        if set(map(type, values)) != {list}:
            raise _wrong_shape(value, where, spec)
        sizes = set(map(len, values))
        length = sizes.pop()
        if sizes or not length or not (length == size or axis in spec.dynamic_axes):
            raise _wrong_shape(value, where, spec)
        shape.append(length)
        values = values[0] if len(values) == 1 else list(chain.from_iterable(values))
    if not words:
        with suppress(TypeError, ValueError, OverflowError):
            return _convert_numbers(values, spec).reshape(shape)
    if list in set(map(type, values)):
        raise _wrong_shape(value, where, spec)
    return number_array(values, where, spec).reshape(shape)


def number_array(values: Sequence[Any], where: str, spec: InputSpec) -> NDArray[Any]:
    """Turn numbers without any list around them into an array of one axis.

    Args:
        values: values of a JSON body.
        where: the input, for messages.
        spec: the input.

    Returns:
        An array of float64 for an input of float32, else of int64 or uint64, whichever holds the values.

    Raises:
        BadRequest: a value is not a number of the input's kind.
    """
    kinds = set(map(type, values))
    numbers = {int, float} if spec.dtype == "float32" else {int}
    if not kinds <= numbers | ({type(None)} if spec.missing else set()):
        raise _wrong_kind(kinds - numbers, where, spec)
    if type(None) in kinds:
        values = [math.nan if number is None else number for number in values]
    for dtype in (np.float64,) if spec.dtype == "float32" else (np.int64, np.uint64):
        with suppress(OverflowError):
            return np.array(values, dtype=dtype)
    raise BadRequest(f"{where}: wrong dtype", expected=_expected_kind(spec), found="a number that 64 bits do not hold")


def _convert_numbers(values: Sequence[Any], spec: InputSpec) -> NDArray[Any]:
    """Convert the values in one pass.

    Raises:
        TypeError: a value is not a number of the input's kind.
        ValueError: a value does not fit.
        OverflowError: a value is too large.
    """
    match spec.dtype:
        case "uint8":
            return np.frombuffer(bytearray(values), dtype=np.uint8)
        case "int64":
            return np.frombuffer(array("q", values), dtype=np.int64)
        case "float32":
            return np.frombuffer(array("d", values), dtype=np.float64)
        case unreachable:
            assert_never(unreachable)


def _expected_kind(spec: InputSpec) -> str:
    return "numbers" if spec.dtype == "float32" else "integers"


def _wrong_kind(kinds: set[type], where: str, spec: InputSpec) -> BadRequest:
    expected = _expected_kind(spec)
    if type(None) in kinds:
        expected += ", and null for missing values" if spec.missing else NO_MISSING
    others = kinds - {type(None)} if spec.missing else kinds
    names = sorted(_KINDS.get(kind, kind.__name__) for kind in others)
    return BadRequest(f"{where}: wrong dtype", expected=expected, found=", ".join(names))


def _wrong_shape(value: Any, where: str, spec: InputSpec) -> BadRequest:
    """Describe the shape by the first element of each level; the other elements are not looked into."""
    if type(value) in _KINDS and spec.shape:
        return _wrong_kind({type(value)}, where, spec)
    sizes: list[int] = []
    level = value
    while type(level) is list and len(sizes) < _MOST_LEVELS:
        sizes.append(len(level))
        lists = [type(part) is list for part in level]
        if any(lists) and (not all(lists) or len(set(map(len, level))) > 1):
            break
        level = level[0] if level else None
    else:
        if not fits_shape(tuple(sizes), spec):
            shape = [None if axis in spec.dynamic_axes else size for axis, size in enumerate(spec.shape)]
            return BadRequest(f"{where}: wrong shape", expected=json.dumps(shape), found=json.dumps(sizes))
    return BadRequest(
        f"{where}: wrong shape",
        expected=f"nested lists of shape {list(spec.shape)}",
        found="lists of unequal lengths",
    )
