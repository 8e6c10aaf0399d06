"""Encodes inputs as the bodies of requests."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.decode import InputSpec


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of a picture (C, H, W), where C is 1 or 3."""
    buffer = io.BytesIO()
    pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def encode_instances(inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a JSON body with every row of the arrays as an instance; float32 values stay exact, and NaN is null."""
    names = [spec.name for spec in inputs]
    rows = zip(*(_json_values(arrays[name]) for name in names), strict=True)
    instances = [row[0] if len(names) == 1 else dict(zip(names, row, strict=True)) for row in rows]
    return json.dumps({"instances": instances}, separators=(",", ":")).encode()


def _json_values(array: NDArray[Any]) -> list[Any]:
    if array.dtype.kind == "f" and np.isnan(array).any():
        missing = np.isnan(array)
        array = array.astype(object)
        array[missing] = None
    values: list[Any] = array.tolist()
    return values
