"""Encodes inputs as the bodies of requests."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.columns import table_rows
from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.framing import centre_offset


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of a picture (C, H, W), where C is 1 or 3."""
    buffer = io.BytesIO()
    pixels = picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="PNG")
    return buffer.getvalue()


def picture_file(picture: NDArray[np.uint8], decoding: ImageDecoding) -> bytes | None:
    """Return a PNG file that decodes to exactly these pixels: where the centre is taken, they lie in a black frame.

    Args:
        picture: pixels (C, H, W), as the input has them.
        decoding: how the input's pictures are decoded.

    Returns:
        The file; None where every picture is resized to fewer pixels than the input has.
    """
    channels, height, width = picture.shape
    wanted = (height, width) if decoding.resize_to is None else decoding.resize_to
    rows, columns = (max(height, wanted[0]), max(width, wanted[1])) if decoding.fit == "crop" else wanted
    if decoding.resized((columns, rows), (width, height)) != (columns, rows) or rows < height or columns < width:
        return None
    top, left = centre_offset(rows, height), centre_offset(columns, width)
    canvas = np.zeros((channels, rows, columns), dtype=np.uint8)
    canvas[:, top : top + height, left : left + width] = picture
    return encode_png(canvas)


def encode_instances(inputs: Sequence[InputSpec], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a JSON body with every row of the arrays as an instance; float32 values stay exact, and NaN is null."""
    names = [spec.name for spec in inputs]
    rows = zip(*(_json_values(arrays[spec.name], spec) for spec in inputs), strict=True)
    instances = [row[0] if len(names) == 1 else dict(zip(names, row, strict=True)) for row in rows]
    return json.dumps({"instances": instances}, separators=(",", ":")).encode()


def _json_values(array: NDArray[Any], spec: InputSpec) -> list[Any]:
    if spec.columns:
        return table_rows(array, spec.columns)
    if array.dtype.kind == "f" and np.isnan(array).any():
        missing = np.isnan(array)
        array = array.astype(object)
        array[missing] = None
    values: list[Any] = array.tolist()
    return values
