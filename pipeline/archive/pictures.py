"""Makes pictures to pack with a model: they are nobody's data, and of sizes that must be resized."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.golden_pictures import picture_difference
from pipeline.errors import ProofError

PICTURES_FILE = "pictures.safetensors"
# Heights, widths and channels: a colour picture and a grey one, of sizes and shares that no usual input has.
_SIZES = ((47, 61, 3), (11, 13, 1))


def make_pictures(inputs: Sequence[InputSpec]) -> bytes | None:
    """Make pictures for every input that is one, and their pixels; the same inputs give the same bytes.

    torchvision makes the pixels from the picture in memory, not the decoder that serves, so its faults show.

    Args:
        inputs: inputs as the data set describes them.

    Returns:
        The content of the file; None where no input is a picture.

    Raises:
        ProofError: the decoder that serves makes other pixels of a picture.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for spec in inputs:
        if spec.decoding is None:
            continue
        _, height, width = spec.shape
        for number, size in enumerate(_SIZES):
            picture = _picture(*size)
            file = io.BytesIO()
            picture.save(file, format="PNG", compress_level=0)  # what is compressed differs between zlib versions
            framed = _framed(picture.convert(spec.decoding.mode), spec.decoding, (height, width))
            pixels = np.asarray(framed, dtype=np.uint8).reshape(height, width, -1)
            arrays[f"file.{spec.name}.{number}"] = np.frombuffer(file.getvalue(), dtype=np.uint8)
            arrays[f"pixels.{spec.name}.{number}"] = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    if not arrays:
        return None
    if difference := picture_difference(arrays, inputs):
        raise ProofError(f"{difference}; the decoder that serves is at fault: nothing was packed")
    content: bytes = save(arrays)
    return content


def _framed(picture: Image.Image, decoding: ImageDecoding, result: tuple[int, int]) -> Image.Image:
    """Resize a picture and take its centre with torchvision's transforms."""
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import center_crop, pad, resize

    wanted = result if decoding.resize_to is None else decoding.resize_to
    sides = [Fraction(length, of) for length, of in zip(wanted, (picture.height, picture.width), strict=True)]
    match decoding.fit:
        case "squeeze":
            size = list(wanted)
        case "crop" if wanted[0] == wanted[1]:
            size = [wanted[0]]  # torchvision's own rule for the shorter side
        case "crop":
            size = [round(max(sides) * length) for length in (picture.height, picture.width)]
        case "letterbox":
            size = [round(min(sides) * length) for length in (picture.height, picture.width)]
        case _:
            assert_never(decoding.fit)
    resized = resize(picture, size, InterpolationMode(decoding.resize))
    border = [max(0, length - of) for length, of in zip(result, (resized.height, resized.width), strict=True)]
    left, top, right, bottom = border[1] // 2, border[0] // 2, (border[1] + 1) // 2, (border[0] + 1) // 2
    if any(border):
        resized = pad(resized, [left, top, right, bottom], fill=list(decoding.fill))
    centre: Image.Image = center_crop(resized, list(result))
    return centre


def _picture(height: int, width: int, channels: int) -> Image.Image:
    """Draw a pattern without symmetry; its numbers are whole, so that it is the same everywhere."""
    row, column, channel = np.ogrid[:height, :width, :channels]
    pixels = ((row * 37 + column * 101 + row * column * 11 + channel * 73) % 256).astype(np.uint8)
    return Image.fromarray(pixels if channels > 1 else pixels[..., 0])
