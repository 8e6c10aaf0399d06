"""`pipeline.decode_image`: it turns a picture into an input as the server does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.engine.places import os_error_text
from pipeline.errors import FileError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline._handlers.decode import InputSpec


def decode_image(picture: bytes | Path | str, spec: InputSpec) -> NDArray[np.uint8]:
    """Decode a picture with the very function that decodes it in the server, in the test of a build and in `verify`.

    A data set of pictures that is decoded with it holds what the model will be asked about.

    Args:
        picture: a PNG, JPEG, WebP, GIF, BMP or TIFF file, or its bytes.
        spec: the input that the picture becomes, with `decoding`.

    Returns:
        uint8 array of `spec.shape`, (C, H, W).

    Raises:
        UsageError: it is no such picture, it is damaged or too large, or the input takes no pictures.
        FileError: the file cannot be read.
    """
    from pipeline._handlers.bad_request import BadRequest
    from pipeline._handlers.decode import decode_image as decode

    if spec.decoding is None:
        raise UsageError(f"input {spec.name}: expected one with decoding, found none; it takes no pictures")
    if isinstance(picture, bytes):
        where, body = "picture", picture
    else:
        where = str(picture)
        try:
            body = Path(picture).read_bytes()
        except OSError as error:
            raise FileError(f"{where}: expected a readable file, found: {os_error_text(error)}") from error
    try:
        return decode(body, spec)
    except BadRequest as refusal:
        raise UsageError(f"{where}: {refusal}") from refusal
