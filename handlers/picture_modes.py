"""The change of a decoded picture to the mode of an input, by the rules 2, 4 and 5 of `handlers.decode`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from PIL import Image

Mode = Literal["L", "RGB"]

# Number of pixels that are converted at a time. A strip is small beside the picture, and takes long beside the cost of
# a call.
_STRIP_PIXELS = 1_000_000


def convert_in_strips(picture: Image.Image, mode: Mode) -> Image.Image:
    """Convert a picture to a mode, in strips so that no intermediate form of the whole picture exists."""
    picture.load()
    if picture.mode == mode and not picture.has_transparency_data:
        return picture
    width, height = picture.size
    rows = max(1, _STRIP_PIXELS // width)
    pixels = Image.new(mode, picture.size)
    for top in range(0, height, rows):
        strip = picture.crop((0, top, width, min(top + rows, height)))
        pixels.paste(_convert(_reduce_to_eight_bits(strip), mode), (0, top))
    return pixels


def _reduce_to_eight_bits(picture: Image.Image) -> Image.Image:
    """Turn grey of 16 bits (modes `I;16` and, for some files, `I`) into `L`; Pillow itself reads colour as 8 bits."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray((np.asarray(picture).astype(np.uint32) >> 8).astype(np.uint8))


def _convert(picture: Image.Image, mode: Mode) -> Image.Image:
    if picture.has_transparency_data:
        colour = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", colour.size, (0, 0, 0, 255)), colour).convert("RGB")
    elif picture.mode not in ("L", "RGB", "1"):
        picture = picture.convert("RGB")  # palette and CMYK become RGB first, also where grey is wanted
    return picture if picture.mode == mode else picture.convert(mode)
