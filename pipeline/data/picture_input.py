"""The input that pictures become, the form in which they are stored, and the resizing between the two."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline.errors import UsageError
from pipeline.recipe.data import Data

INPUT_NAME = "image"


def picture_input(data: Data) -> InputSpec:
    """Return the input that the pictures of a folder become.

    Args:
        data: section of the recipe.

    Raises:
        UsageError: the recipe does not say the size.
    """
    if data.size is None:
        raise UsageError(
            "data.size: expected height and width of the network's input with data.folder, found none; set it, for "
            "example size = [224, 224]"
        )
    channels = 1 if data.mode == "L" else 3
    return InputSpec(
        name=INPUT_NAME,
        dtype="uint8",
        shape=(channels, *data.size),
        low=0,
        high=255,
        decoding=ImageDecoding(mode=data.mode, resize=data.resize),
    )


def stored_input(spec: InputSpec, size: tuple[int, int] | None) -> InputSpec:
    """Return the input as which pictures are decoded and stored.

    Args:
        spec: the network's input.
        size: height and width in which pictures are stored; the input's own if None.
    """
    return spec if size is None else replace(spec, shape=(spec.shape[0], *size))


def resize_stored(pictures_NCHW: NDArray[Any], spec: InputSpec) -> NDArray[Any]:
    """Resize stored pictures to the size of an input, with the function that serves.

    Args:
        pictures_NCHW: stored pictures, uint8.
        spec: the network's input.

    Returns:
        Pictures (N, *spec.shape); the same array where nothing is to be resized.
    """
    if pictures_NCHW.shape[1:] == spec.shape:
        return pictures_NCHW
    return np.stack([decode_image(_png(pixels_CHW), spec) for pixels_CHW in pictures_NCHW])


def _png(pixels_CHW: NDArray[Any]) -> bytes:
    """A stored picture as a file without compression, from which it is decoded without any loss."""
    pixels = pixels_CHW[0] if len(pixels_CHW) == 1 else pixels_CHW.transpose(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", compress_level=0)
    return file.getvalue()
