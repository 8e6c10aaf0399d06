"""One example of a map-style torch data set, as arrays: what is a picture, what becomes of its dtype."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.picture_modes import Mode
from pipeline.errors import DataError

# Names of an input that comes without one.
_PICTURE, _VALUES = "image", "input"
_DIGEST_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example.

    Args:
        inputs: uint8, int64 or float32 values by input name.
        target: target of any numeric dtype and shape; None where there is none.
        pictures: `L` or `RGB` by the name of each input that came as a PIL picture.
    """

    inputs: dict[str, NDArray[Any]]
    target: NDArray[Any] | None
    pictures: dict[str, Mode] = field(default_factory=dict)

    @property
    def facts(self) -> tuple[object, ...]:
        """What all examples of a data set have in common."""
        inputs = tuple((name, value.dtype.name, value.shape) for name, value in sorted(self.inputs.items()))
        return inputs, None if self.target is None else self.target.shape

    def in_words(self) -> str:
        """Name inputs and target with their shapes, for messages."""
        inputs = ", ".join(f"{name} {value.dtype} {value.shape}" for name, value in self.inputs.items())
        return f"{inputs} and {'no target' if self.target is None else f'a target of shape {self.target.shape}'}"


def read_example(item: object, where: str) -> Example:
    """Turn what a data set gives for an index into arrays.

    Args:
        item: `(input, target)`, `(input,)` or an input: a tensor, an array, a PIL picture, or a dict of these by name.
        where: the example, for messages.

    Raises:
        DataError: it is something else.
    """
    pair = item if isinstance(item, tuple | list) else (item,)
    if not 1 <= len(pair) <= 2:
        raise DataError(f"{where}: expected (input, target), found {len(pair)} values")
    values, target = pair[0], pair[1] if len(pair) == 2 else None
    if not isinstance(values, Mapping):
        values = {_PICTURE if isinstance(values, Image.Image) else _VALUES: values}
    inputs: dict[str, NDArray[Any]] = {}
    pictures: dict[str, Mode] = {}
    for name, value in values.items():
        if isinstance(value, Image.Image):
            pictures[str(name)] = "L" if value.mode == "L" else "RGB"
        inputs[str(name)] = _input(value, f"{where}, input {name}")
    if not inputs:
        raise DataError(f"{where}: expected an input, found an empty dict")
    return Example(inputs=inputs, target=None if target is None else _target(target, where), pictures=pictures)


def digest_of(example: Example) -> str:
    """Digest the inputs of an example, in hexadecimal digits: copies have one digest, whatever their targets are."""
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for name, value in sorted(example.inputs.items()):
        digest.update(f"{name}|{value.dtype.str}|{value.shape}|".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


def _input(value: object, where: str) -> NDArray[Any]:
    if isinstance(value, Image.Image):
        return _picture(value, where)
    array = _array(value)
    if array is None:
        raise DataError(
            f"{where}: expected a tensor, an array or a PIL picture, found {type(value).__name__}; let the data set "
            "give (input, target)"
        )
    match array.dtype.kind:
        case "u" if array.dtype == np.uint8:
            return array
        case "i" | "u":
            return array.astype(np.int64)
        case "f":
            return array.astype(np.float32)
        case _:
            raise DataError(f"{where}: expected numbers, found {array.dtype}; give uint8, int64 or float32")


def _picture(picture: Image.Image, where: str) -> NDArray[np.uint8]:
    """Return the pixels of a grey or colour picture, channels first."""
    match picture.mode:
        case "L":
            return np.asarray(picture, dtype=np.uint8)[np.newaxis]
        case "RGB":
            return np.ascontiguousarray(np.asarray(picture, dtype=np.uint8).transpose(2, 0, 1))
        case mode:
            raise DataError(
                f"{where}: expected a PIL picture of mode L or RGB, found {mode}; call .convert('RGB') in the data set"
            )


def _target(target: object, where: str) -> NDArray[Any]:
    array = _array(target)
    if array is None or array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: target: expected a class index, a list of numbers or none, found {type(target).__name__}"
        )
    return array


def _array(value: object) -> NDArray[Any] | None:
    if isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy()
    if isinstance(value, np.ndarray | np.generic | bool | int | float | list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unequal lengths
            return None
        return array if array.dtype.kind in "biuf" else None
    return None
