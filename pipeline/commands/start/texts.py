"""What is typed as an answer, checked, as a recipe has it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import UsageError
from pipeline.recipe.names import PUBLISHED

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
# How a network may see pixels, and what the recipe says then.
PIXELS: dict[str, dict[str, Any]] = {
    "raw": {"scale": 1.0},
    "0-1": {"scale": 1 / 255},
    "imagenet": {"scale": 1 / 255, "mean": _MEAN, "std": _STD},
}


def relative_of(text: str, folder: Path) -> str:
    """The path of what somebody typed, relative to a folder, as a recipe has it."""
    return Path(os.path.relpath(Path(text).resolve(), folder.resolve())).as_posix()


def pixels_of(text: str) -> Mapping[str, Any] | str:
    """What a recipe says of how a network sees pixels.

    Raises:
        UsageError: it is neither a usual way nor a published network.
    """
    if text in PIXELS:
        return PIXELS[text]
    if re.fullmatch(PUBLISHED, text):
        from pipeline.presets import read_preset

        return read_preset(text).name
    raise UsageError(f"expected {', '.join(PIXELS)}, or a published network, as torchvision:WEIGHTS")


def size_of(text: str) -> list[int]:
    """Height and width, in pixels, from a text such as 64x64.

    Raises:
        UsageError: it is none.
    """
    found = re.fullmatch(r"(\d{1,5}) ?[xX*] ?(\d{1,5})", text)
    if found is None or "0" in (found[1], found[2]):
        raise UsageError(f"expected height and width, such as 64x64, found {text!r}")
    return [int(found[1]), int(found[2])]


def mode_of(text: str) -> str:
    """`RGB` or `L`.

    Raises:
        UsageError: it is neither.
    """
    if text.upper() not in ("RGB", "L"):
        raise UsageError(f"expected RGB or L, found {text!r}")
    return text.upper()


def classes_of(text: str, folder: Path) -> str | list[str]:
    """Names that are joined by commas; or the path of a text file with names, relative to a folder."""
    return (
        relative_of(text, folder)
        if Path(text).is_file()
        else [part.strip() for part in text.split(",") if part.strip()]
    )


def number_of(text: str, *, least: float) -> float:
    """A number that is not below the least.

    Raises:
        UsageError: it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < least:
        raise UsageError(f"expected a number of {least:g} or more, found {text!r}")
    return value


def whole_of(text: str) -> int:
    """A whole number of 0 or more.

    Raises:
        UsageError: it is none.
    """
    if not text.isdecimal():
        raise UsageError(f"expected a whole number, found {text!r}")
    return int(text)
