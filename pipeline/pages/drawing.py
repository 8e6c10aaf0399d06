"""What pictures that hold text and pixels are drawn with; the same content gives the same bytes."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from pipeline.visible import visible

# Size of the letters of a title, in pixels.
_TITLE = 15
BLACK, GREY, WHITE = (0, 0, 0), (96, 96, 96), (255, 255, 255)


@lru_cache(maxsize=8)
def text_font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib, which has letters of many languages, in a size in pixels."""
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text without control characters, cut where it is wider than so many pixels."""
    text = visible(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


def blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A white picture of a size in pixels, and what draws on it."""
    canvas = Image.new("RGB", (width, height), WHITE)
    return canvas, ImageDraw.Draw(canvas)


def write_title(canvas: Image.Image, draw: ImageDraw.ImageDraw, title: str, *, margin: int) -> None:
    """Write a line at the top, as much of it as is inside the margins, in pixels."""
    font = text_font(_TITLE)
    draw.text((margin, margin), fitted(title, font, canvas.width - 2 * margin), BLACK, font)


def png(canvas: Image.Image) -> bytes:
    """The picture as the content of a PNG file."""
    content = io.BytesIO()
    canvas.save(content, format="PNG")
    return content.getvalue()
