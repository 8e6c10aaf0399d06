"""Draw a sheet of small pictures with lines of text under each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline.pages.drawing import BLACK, GREY, blank, fitted, png, text_font, write_title

# All sizes are in pixels.
_PICTURE = 128
_MARGIN = 12
_FONT = 12
_LINE = 16


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One picture of a sheet.

    Args:
        pixels: uint8 (H, W, 3) or (H, W).
        lines: lines of text under it; the first one is printed darker.
    """

    pixels: NDArray[np.uint8]
    lines: tuple[str, ...]


def to_pixels(values: NDArray[Any], *, low: float, high: float) -> NDArray[np.uint8]:
    """Turn an input that is a picture into pixels.

    Args:
        values: (C, H, W) of any dtype; of other than 3 channels, the mean is shown in grey.
        low: value that becomes black; the smallest one if it is infinite.
        high: value that becomes white; the largest one if it is infinite.

    Returns:
        uint8 (H, W, 3) or (H, W).
    """
    channels = values.astype(np.float64)
    shown = channels.transpose(1, 2, 0) if len(channels) == 3 else channels.mean(axis=0)
    shown = np.nan_to_num(shown)
    bottom = low if math.isfinite(low) else float(shown.min())
    top = high if math.isfinite(high) else float(shown.max())
    scaled = (shown - bottom) / (top - bottom or 1.0)
    pixels: NDArray[np.uint8] = np.rint(scaled.clip(0, 1) * 255).astype(np.uint8)
    return pixels


def draw_sheet(cells: Sequence[Cell], *, title: str, columns: int, width: int) -> bytes:
    """Draw pictures side by side, as a PNG; the same content gives the same bytes.

    A picture that is smaller than its place is enlarged by a whole factor, so that each of its pixels is a square; a
    larger one is reduced.

    Args:
        cells: pictures with their lines of text.
        title: line above them.
        columns: largest number of pictures side by side.
        width: width of the place of one picture with its text, in pixels.
    """
    font = text_font(_FONT)
    lines = max((len(cell.lines) for cell in cells), default=0)
    height = _PICTURE + lines * _LINE + _MARGIN
    columns = max(1, min(columns, len(cells)))
    rows = math.ceil(len(cells) / columns)
    top = _LINE + 2 * _MARGIN
    canvas, draw = blank(max(columns * (width + _MARGIN) + _MARGIN, 640), top + rows * height)
    write_title(canvas, draw, title, margin=_MARGIN)
    for place, cell in enumerate(cells):
        left, upper = _MARGIN + place % columns * (width + _MARGIN), top + place // columns * height
        canvas.paste(_scaled(cell.pixels), (left, upper))
        for number, line in enumerate(cell.lines):
            where = (left, upper + _PICTURE + 2 + number * _LINE)
            draw.text(where, fitted(line, font, width), GREY if number else BLACK, font)
    return png(canvas)


def _scaled(pixels: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(pixels)
    longer = max(picture.size)
    if longer <= _PICTURE:
        factor = _PICTURE // longer
        return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)
    picture.thumbnail((_PICTURE, _PICTURE), Image.Resampling.BOX)
    return picture
