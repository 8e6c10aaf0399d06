"""Draw a confusion matrix: how often each right class got each answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from pipeline.pages.drawing import BLACK, GREY, WHITE, blank, fitted, png, text_font, write_title

# All sizes are in pixels.
_MARGIN = 14
_LONGEST_NAME = 140
_FONT = 12
# Largest number of classes whose cells are so large; the numbers are written into cells of at least the second size.
_CELLS = ((12, 46), (25, 34), (50, 18), (100, 12))
_NUMBERED = 34
# Colours of a cell that holds all examples of its row: on the diagonal, where answers are right, and beside it.
_RIGHT, _WRONG = (31, 119, 180), (214, 83, 39)


def draw_confusion(matrix: Sequence[Sequence[int]], names: Sequence[str], *, title: str) -> bytes:
    """Draw the matrix as a PNG; the same figures give the same bytes.

    The colour of a cell is its share of the examples of its row. It grows with the square root, so that a few wrong
    answers are seen.

    Args:
        matrix: number of examples by right class (rows) and answer (columns).
        names: names of the classes.
        title: line above it.
    """
    counts = np.array(matrix, np.int64)
    classes = len(names)
    cell = next(size for most, size in _CELLS if classes <= most)
    font, small = text_font(min(_FONT, cell)), text_font(_FONT - 1)
    longest = round(max(font.getlength(fitted(name, font, _LONGEST_NAME)) for name in names)) + _MARGIN
    left, top = _MARGIN + longest, 5 * _MARGIN + longest
    canvas, draw = blank(max(left + classes * cell + _MARGIN, 420), top + classes * cell + _MARGIN)
    write_title(canvas, draw, title, margin=_MARGIN)
    draw.text((_MARGIN, _MARGIN + 22), "row: right class; column: answer", GREY, font=text_font(_FONT))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row, name in enumerate(names):
        text = fitted(name, font, _LONGEST_NAME)
        middle = row * cell + cell // 2
        draw.text((left - 6, top + middle), text, BLACK, font, anchor="rm")
        _write_upwards(canvas, text, (left + middle, top - 6), size=font.size)
        for column in range(classes):
            corner = (left + column * cell, top + row * cell)
            share = float(np.sqrt(shares[row, column]))
            color = _mixed(_RIGHT if row == column else _WRONG, share)
            draw.rectangle((*corner, corner[0] + cell - 1, corner[1] + cell - 1), fill=color, outline=(230, 230, 230))
            if cell >= _NUMBERED and counts[row, column]:
                place = (corner[0] + cell // 2, corner[1] + cell // 2)
                draw.text(place, f"{counts[row, column]}", WHITE if share > 0.7 else BLACK, small, anchor="mm")
    return png(canvas)


def _mixed(color: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """The colour mixed with white."""
    red, green, blue = (round(255 + (part - 255) * share) for part in color)
    return red, green, blue


def _write_upwards(canvas: Image.Image, text: str, foot: tuple[int, int], *, size: float) -> None:
    """Write a text from the bottom to the top, centred above a point."""
    font = text_font(round(size))
    width, height = round(font.getlength(text)) + 2, round(size) + 4
    line, draw = blank(width, height)
    draw.text((0, height // 2), text, BLACK, font, anchor="lm")
    turned = line.rotate(90, expand=True)
    canvas.paste(turned, (foot[0] - turned.width // 2, foot[1] - turned.height))
