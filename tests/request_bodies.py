"""Bodies of requests, and their content types."""

from __future__ import annotations

import io
import json

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PIXELS: NDArray[np.uint8] = np.arange(48, dtype=np.uint8).reshape(1, 8, 6)
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
RAW = "application/octet-stream"


def png() -> bytes:
    """A grey picture of `PIXELS`."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, format="PNG")
    return buffer.getvalue()


def listed(*instances: object) -> bytes:
    """A JSON body with a list of instances."""
    return json.dumps({"instances": list(instances)}).encode()
