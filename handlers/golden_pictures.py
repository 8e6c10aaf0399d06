"""Pictures that travel with a model, and the pixels that they must decode to.

Golden inputs are decoded already, and their pictures have the input's own size. Only these pictures reveal another
resize filter, another order of channels or another Pillow. The file holds `file.<input>.<number>`, a PNG file's bytes,
and `pixels.<input>.<number>`, the pixels that it decodes to.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .decode import InputSpec, decode_image


def require_pictures(name: str, stored: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]) -> None:
    """Stop where one of a picture's two arrays is missing or wrong.

    Args:
        name: name of the pictures file, for the message.
        stored: arrays of the pictures file, by name.
        inputs: inputs of the model.

    Raises:
        ValueError: an array is missing or wrong; the text names it, what was expected of it and what was found.
    """
    for spec in inputs:
        number = 0
        while (file := f"file.{spec.name}.{number}") in stored:
            for array, axes in ((file, 1), (f"pixels.{spec.name}.{number}", 3)):
                if array not in stored:
                    raise ValueError(f"{name}: expected an array {array!r}, found none")
                values = stored[array]
                if values.dtype != np.uint8 or values.ndim != axes:
                    raise ValueError(
                        f"{name}: {array}: expected uint8 of {axes} axes, found {values.dtype} of shape "
                        f"{list(values.shape)}"
                    )
            number += 1


def stored_pictures(
    stored: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]
) -> Iterator[tuple[InputSpec, int, bytes, NDArray[np.uint8]]]:
    """Go through the pictures: the input, the number, the PNG file, and the pixels that it must decode to.

    Args:
        stored: arrays of the pictures file, which passed `require_pictures`.
        inputs: inputs of the model; an input that is not a picture has no stored pictures.
    """
    for spec in inputs:
        number = 0
        while f"file.{spec.name}.{number}" in stored:
            body = stored[f"file.{spec.name}.{number}"].tobytes()
            yield spec, number, body, stored[f"pixels.{spec.name}.{number}"]
            number += 1


def picture_difference(stored: Mapping[str, NDArray[Any]], inputs: Sequence[InputSpec]) -> str:
    """Decode every picture on this machine, and compare the pixels: they must be the same to the last bit.

    Args:
        stored: arrays of the pictures file, by name.
        inputs: inputs of the model that is served.

    Returns:
        One clause on the first picture that decodes differently, or on an input of pictures that has none; empty where
        all agree.
    """
    pictures = list(stored_pictures(stored, inputs))
    for spec in inputs:
        if spec.decoding is not None and not any(owner.name == spec.name for owner, *_ in pictures):
            return f"input {spec.name}: expected pictures packed with it, found none"
    for spec, number, body, expected in pictures:
        if spec.decoding is None:
            return f"input {spec.name}: expected pictures to decode, as packed with it, found an input that is none"
        try:
            pixels = decode_image(body, spec)
        except BadRequest as problem:
            return f"input {spec.name}, picture {number}: {problem}"
        if pixels.shape != expected.shape:
            return (
                f"input {spec.name}, picture {number}: expected pixels of shape {list(expected.shape)}, found "
                f"{list(pixels.shape)}"
            )
        if not np.array_equal(pixels, expected):
            apart = np.abs(pixels.astype(np.int64) - expected)
            return (
                f"input {spec.name}, picture {number}: expected the pixels packed with it, found "
                f"{(apart > 0).sum()} of {apart.size} values different, by up to {apart.max()}, decoded as "
                f"{spec.decoding.mode} with {spec.decoding.resize} resizing by Pillow "
                f"{importlib.metadata.version('Pillow')}"
            )
    return ""
