"""Small requests that ask for much work, by what they do."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Serving
from pipeline._handlers.request import MAX_INSTANCES
from pipeline.serving.wire import Wire

JSON = "application/json"
# Largest number of bytes that TorchServe takes by default.
_MOST_BYTES = 6_500_000


@dataclass(frozen=True, kw_only=True)
class HostileRequest:
    """A request as it is posted.

    Args:
        body: bytes of the request.
        headers: headers, with the content type.
    """

    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": JSON})


def hostile_requests(serving: Serving, wire: Wire) -> dict[str, HostileRequest]:
    """Return the requests that fit a model of one input, by name; the valid ones are the largest that it takes."""
    spec = serving.inputs[0]
    requests = {
        "one long text among 1,000 empty ones": _json(_instances([""] * 1000 + ["x" * 1_000_000])),
        "one long key": _json(json.dumps({"k" * 2_400_000: 1}).encode()),
        "2 million empty lists": _json(b'{"instances":[' + _many(b"[]") + b"]}"),
        "2 million empty lists in one instance": _json(b'{"instances":[[' + _many(b"[]") + b"]]}"),
        "1.6 million numbers in one list": _json(b'{"instances":[[' + _many(b"999") + b"]]}"),
        "lists 900 deep": _json(b'{"instances":[' + _many(b"[" * 900 + b"]" * 900) + b"]}"),
        "integers of 4,300 digits": _json(b'{"instances":[[' + _many(b"9" * 4300) + b"]]}"),
        "1,024 instances": _json(_most_instances(spec)),
        "1,024 instances, logits": HostileRequest(
            body=_most_instances(spec), headers={"content-type": JSON, **wire.headers(logits=True)}
        ),
        "140,000 fields of a form": _form(140_000),
    }
    if spec.decoding is not None:
        requests |= {
            "JPEG of 5,000 scans": HostileRequest(body=_scans(5000), headers={"content-type": "image/jpeg"}),
            "PNG of 31 million pixels": _png(5568, 5568),
            "PNG of 1 x 30 million pixels": _png(1, 30_000_000),
            "PNG of 16 million pixels, transparent, 16 bits": _png(4000, 4000, depth=16, colour=6),
            "PNG of 16,384 pieces": HostileRequest(body=_pieces(16_380), headers={"content-type": "image/png"}),
            "the largest PNG that is taken": _png(3547, 3547),
            "the largest pictures that are taken, in JSON": _json(_instances(*[_b64(_png(1024, 1024).body)] * 12)),
            "1,024 pictures": _json(_instances(*[_b64(_png(8, 8).body)] * 1024)),
        }
    return requests


def _json(body: bytes) -> HostileRequest:
    return HostileRequest(body=body)


def _instances(*instances: object) -> bytes:
    return json.dumps({"instances": instances}, separators=(",", ":")).encode()


def _many(part: bytes) -> bytes:
    return b",".join([part] * (_MOST_BYTES // (len(part) + 1)))


def _most_instances(spec: InputSpec) -> bytes:
    instance = _instances(_values(spec))
    return _instances(*[_values(spec)] * min(MAX_INSTANCES, _MOST_BYTES // len(instance)))


def _values(spec: InputSpec) -> object:
    """Return an instance of the input, short as text."""
    if spec.decoding is not None:
        return _b64(_png(8, 8).body) if np.prod(spec.shape) > 4000 else np.ones(spec.shape, dtype=int).tolist()
    return np.full(spec.shape, int(spec.nearest_to_zero)).tolist()


def _b64(picture: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(picture).decode()}


def _form(fields: int) -> HostileRequest:
    parts = b"".join(
        b'--a\r\ncontent-disposition: form-data; name="%d"\r\n\r\n1\r\n' % number for number in range(fields)
    )
    return HostileRequest(body=parts + b"--a--\r\n", headers={"content-type": "multipart/form-data; boundary=a"})


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, *, depth: int = 8, colour: int = 2) -> HostileRequest:
    """Return a PNG file of stripes; every row is taken from the row above, by the slowest filter."""
    row = width * {2: 3, 6: 4}[colour] * depth // 8
    first = np.random.default_rng(0).integers(0, 256, row, dtype=np.uint8).tobytes()
    packer = zlib.compressobj(6)
    pixels = packer.compress(b"\0" + first)
    rows = b"\4" + bytes(row)
    together = max(1, 1_000_000 // row)
    for _ in range((height - 1) // together):
        pixels += packer.compress(rows * together)
    pixels += packer.compress(rows * ((height - 1) % together))
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", pixels + packer.flush()) + _chunk(b"IEND", b"")
    return HostileRequest(body=body, headers={"content-type": "image/png"})


def _pieces(number: int) -> bytes:
    body = _png(8, 8).body
    return body[:33] + _chunk(b"IDAT", b"") * number + body[33:]


def _scans(number: int) -> bytes:
    """Return a colour picture of 2 million pixels whose last scan is repeated, each time with some bits to refine."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize((1500, 1500)).save(buffer, format="JPEG", progressive=True, quality=30)
    body = buffer.getvalue()
    scan = body.rfind(b"\xff\xda")
    return body[:-2] + (body[scan : scan + 10] + b"\x7f" * 80) * number + body[-2:]
