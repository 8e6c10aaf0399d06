"""Right requests of every kind that a model of one picture takes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.picture_kinds import PICTURE_KINDS, PictureKindName
from pipeline.errors import UsageError

JSON, RAW = "application/json", "application/octet-stream"
BOUNDARY = "a-boundary"
FORM = f"multipart/form-data; boundary={BOUNDARY}"
# How pictures are saved: kinds with their ways to be written.
_SAVED: Sequence[tuple[PictureKindName, str, Mapping[str, Any]]] = (
    ("PNG", "PNG", {}),
    ("PNG", "PNG, 16 bits", {}),
    ("PNG", "PNG, palette", {}),
    ("JPEG", "JPEG", {"quality": 90}),
    ("JPEG", "JPEG, progressive", {"progressive": True}),
    ("WebP", "WebP", {"lossless": True}),
    ("GIF", "GIF", {}),
    ("BMP", "BMP", {}),
    ("TIFF", "TIFF, plain", {}),
    ("TIFF", "TIFF, LZW", {"compression": "tiff_lzw"}),
    ("TIFF", "TIFF, JPEG", {"compression": "jpeg"}),
)


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """A request for predictions.

    Args:
        kind: what it holds.
        path: the path, behind which stands nothing.
        content_type: content type of the body.
        body: the whole body.
    """

    kind: str
    path: str
    content_type: str
    body: bytes


def require_one_picture(inputs: Sequence[InputSpec]) -> InputSpec:
    """Return the input of a model of one picture.

    Raises:
        UsageError: the model takes something else.
    """
    if len(inputs) != 1 or inputs[0].decoding is None:
        named = ", ".join(spec.name for spec in inputs)
        raise UsageError(f"expected an archive whose model takes one picture, found one that takes {named}")
    return inputs[0]


def model_requests(name: str, spec: InputSpec, number: int, *, most: int, seed: int) -> Iterator[ModelRequest]:
    """Generate requests of all kinds, mixed at random.

    Args:
        name: the model's name.
        spec: its input.
        number: number of requests.
        most: most instances in one request.
        seed: seed; the same one gives the same requests.
    """
    random, generator = Random(seed), np.random.default_rng(seed)  # noqa: S311 - no cryptography
    predictions, kserve = f"/predictions/{name}", f"/v1/models/{name}:predict"
    for _ in range(number):
        chance = random.random()
        if chance < 0.35:
            body = _pixels(spec, generator).tobytes()
            yield ModelRequest(kind="raw", path=predictions, content_type=RAW, body=body)
        elif chance < 0.6:
            kind, media, body = _picture(random, _pixels(spec, generator))
            yield ModelRequest(kind=kind, path=predictions, content_type=media, body=body)
        elif chance < 0.7:
            _, media, picture = _picture(random, _pixels(spec, generator))
            fields = [("user", "text/plain", b"42")] * random.randrange(2) + [("photo", media, picture)]
            yield ModelRequest(kind="form", path=predictions, content_type=FORM, body=form(fields))
        else:
            count = random.randint(1, most)
            instances = [_instance(random, _pixels(spec, generator)) for _ in range(count)]
            body = json.dumps({"instances": instances}).encode()
            path = random.choice([predictions, kserve])
            yield ModelRequest(kind="JSON", path=path, content_type=JSON, body=body)


def form(fields: Sequence[tuple[str, str, bytes]]) -> bytes:
    """Write a form behind `BOUNDARY`.

    Args:
        fields: name, content type and value of each field.
    """
    parts = [
        f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"\r\ncontent-type: {media}\r\n\r\n'.encode()
        + value
        + b"\r\n"
        for name, media, value in fields
    ]
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def _pixels(spec: InputSpec, generator: np.random.Generator) -> NDArray[np.uint8]:
    return generator.integers(0, 256, spec.shape, dtype=np.uint8)


def _instance(random: Random, pixels: NDArray[np.uint8]) -> object:
    if random.random() < 0.3:
        return {"b64": base64.b64encode(_picture(random, pixels)[2]).decode()}
    return pixels.tolist()


def _picture(random: Random, pixels: NDArray[np.uint8]) -> tuple[str, str, bytes]:
    """Return the way in which a picture is saved, its media type, and the file."""
    name, way, options = random.choice(_SAVED)
    picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if way == "PNG, palette":
        picture = picture.convert("RGB").quantize(16)
    elif way == "PNG, 16 bits":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **options)
    return way, PICTURE_KINDS[name].media_type, buffer.getvalue()
