"""Draw the activation of a module for one example: its channels, its rows, or its values."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.pages.drawing import BLACK, GREY, blank, fitted, png, text_font, write_title
from pipeline.pages.sheet import Cell, draw_sheet

# Channels of a larger activation are left out of the picture; the arrays hold them.
_MOST_CHANNELS = 64
_COLUMNS, _CELL_PIXELS = 8, 132
# Sizes in pixels.
_MARGIN, _BARS_HEIGHT, _BAR, _WIDEST = 14, 180, 14, 1400
# Colours of the largest value above zero and below it; zero is white.
_POSITIVE, _NEGATIVE = (178, 24, 43), (33, 102, 172)


def draw_activation(values: NDArray[Any], *, title: str) -> bytes:
    """Draw an activation as a PNG; the same values give the same bytes.

    One scale holds for the whole activation, from white at zero to red at its largest absolute value and to blue at as
    much below zero, so that channels can be compared and dead ones are white.

    Args:
        values: activation for one example: (C, H, W) becomes a picture for each channel, (H, W) one picture, and
            anything else a bar for each value.
        title: line above it.
    """
    shown = np.nan_to_num(values.astype(np.float64))
    limit = float(np.abs(shown).max(initial=0.0))
    title = f"{title}: {'x'.join(map(str, values.shape)) or 'one value'}, {_extent(shown)}"
    if shown.ndim not in (2, 3) or not shown.size:
        return _draw_bars(shown.reshape(-1), limit, title)
    channels = shown[np.newaxis] if shown.ndim == 2 else shown
    if len(channels) > _MOST_CHANNELS:
        title += f"; the first {_MOST_CHANNELS} channels"
    cells = [
        Cell(pixels=_colors(channel, limit), lines=(f"{number}: {_extent(channel)}",) if shown.ndim == 3 else ())
        for number, channel in enumerate(channels[:_MOST_CHANNELS])
    ]
    return draw_sheet(cells, title=title, columns=_COLUMNS, width=_CELL_PIXELS)


def _extent(values: NDArray[np.float64]) -> str:
    return f"{values.min():.3g} to {values.max():.3g}" if values.size else "empty"


def _colors(values: NDArray[np.float64], limit: float) -> NDArray[np.uint8]:
    """Pixels (..., 3) of values."""
    share = np.abs(values)[..., np.newaxis] / (limit or 1.0)
    color = np.where(values[..., np.newaxis] >= 0, np.array(_POSITIVE), np.array(_NEGATIVE))
    pixels: NDArray[np.uint8] = np.rint(255 + (color - 255) * share).astype(np.uint8)
    return pixels


def _draw_bars(values: NDArray[np.float64], limit: float, title: str) -> bytes:
    """A bar for each value; of more values than pixels, neighbours share a bar of the largest of them."""
    room = _WIDEST - 2 * _MARGIN
    step = math.ceil(len(values) / room) or 1
    groups = [values[start : start + step] for start in range(0, len(values), step)]
    bars = [float(group[np.abs(group).argmax()]) for group in groups]
    width = max(1, min(_BAR, room // max(1, len(bars))))
    canvas, draw = blank(max(640, len(bars) * width + 2 * _MARGIN), _BARS_HEIGHT + 5 * _MARGIN)
    write_title(canvas, draw, title, margin=_MARGIN)
    zero = 3 * _MARGIN + _BARS_HEIGHT // 2
    for place, (bar, color) in enumerate(zip(bars, _colors(np.array(bars), limit).tolist(), strict=True)):
        end = zero - round(bar / (limit or 1.0) * _BARS_HEIGHT / 2)
        left = _MARGIN + place * width
        draw.rectangle(
            (left, min(zero, end), left + max(0, width - 2), max(zero, end)), fill=tuple(color), outline=None
        )
    draw.line((_MARGIN, zero, canvas.width - _MARGIN, zero), fill=GREY)
    legend = f"{len(values):,} values" + (f", the largest of each {step}" if step > 1 else "")
    font = text_font(12)
    where = (_MARGIN, _BARS_HEIGHT + 3 * _MARGIN + 6)
    draw.text(where, fitted(legend, font, canvas.width - 2 * _MARGIN), BLACK, font)
    return png(canvas)
