"""What a picture file says besides its pixels: how it is turned. All else is taken out before the file is decoded.

Texts, colour profiles, thumbnails and histories of edits change no pixel, and may be larger than the picture. Pillow
refuses a PNG file whose unpacked text or profile exceeds 1 MB; of EXIF data it copies a value for every entry, and the
whole for every segment of a JPEG file. So the blocks of a file (chunks of a PNG, segments of a JPEG) are stepped over
here, once. What is kept of them is the orientation: of the EXIF data or, where these have none, of the XMP data, as
Pillow reads it.
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from typing import Literal

from PIL.JpegImagePlugin import MARKER

from .bad_request import BadRequest

# A camera's picture has tens of blocks; a PNG file written in pieces of 8 kB has some thousands.
MAX_BLOCKS = 16_384
# In bytes, packed and unpacked. EXIF and XMP data beyond it are not read; what cameras and editors write is smaller.
_MAX_METADATA = 1 << 20

_ORIENTATION = 0x0112
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"
# By chunk: how its content begins where it can hold an orientation. Before PNG had a chunk for EXIF, ImageMagick wrote
# EXIF data as a text in hexadecimal digits.
_KEYWORDS = {
    b"eXIf": b"",
    b"tEXt": b"Raw profile type exif\0",
    b"zTXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# JFIF (0) and Adobe (14) say how colour is stored.
_APP0, _APP1, _APP14, _APP15, _COMMENT, _SCAN = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE, 0xDA


def without_metadata(body: bytes, kind: Literal["PNG", "JPEG"]) -> tuple[bytes, int]:
    """Take out of a file what changes no pixel.

    A file that is cut or malformed is left as it is from there on: whoever decodes it says what is wrong.

    Args:
        body: the file.
        kind: of it.

    Returns:
        The file without it, and its orientation, 1 where it has none that can be read.

    Raises:
        BadRequest: it has more than `MAX_BLOCKS` blocks.
    """
    bare, exif, xmp = _bare_png(body) if kind == "PNG" else _bare_jpeg(body)
    return bare, _exif_orientation(exif) or _xmp_orientation(xmp) or 1


class _Remainder:
    """What is left of a file: itself where nothing is left out, else one copy."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._kept = bytearray()
        self._place = 0
        self._blocks = 0

    def count_block(self) -> None:
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            raise BadRequest(
                "too many chunks or segments in a picture file",
                expected=f"at most {MAX_BLOCKS}",
                found="more",
                status=413,
            )

    def leave_out(self, start: int, end: int) -> None:
        """Leave out these bytes, which lie behind all that were left out before."""
        self._kept += memoryview(self._body)[self._place : start]
        self._place = end

    def to_bytes(self) -> bytes:
        if self._place == 0:
            return self._body
        self._kept += memoryview(self._body)[self._place :]
        return bytes(self._kept)


def _bare_png(body: bytes) -> tuple[bytes, bytes, bytes]:
    """The file without chunks that are not needed for its pixels (small first letter), its EXIF and its XMP data."""
    remainder = _Remainder(body)
    metadata: dict[bytes, bytes] = {}
    place = 8
    while place + 12 <= len(body):
        remainder.count_block()
        length, name = struct.unpack_from(">I4s", body, place)
        end = place + 12 + length
        if end > len(body) or name == b"IEND":
            break
        if name[0] & 0x20 and name != b"tRNS":  # transparency changes pixels
            remainder.leave_out(place, end)
            keyword = _KEYWORDS.get(name)
            if keyword is not None and length <= _MAX_METADATA and body.startswith(keyword, place + 8):
                metadata[name] = body[place + 8 + len(keyword) : end - 4]
        place = end
    exif = metadata.get(b"eXIf")
    if exif is None:
        text = metadata.get(b"tEXt") or _inflated(metadata.get(b"zTXt", b"")[1:])
        exif = _from_digits(b"".join(text.split(b"\n")[3:]))
    return remainder.to_bytes(), exif, _international_text(metadata.get(b"iTXt", b""))


def _bare_jpeg(body: bytes) -> tuple[bytes, bytes, bytes]:
    """The file without segments that are not needed for its pixels, its EXIF and its XMP data.

    Markers are told apart as Pillow does: a segment has a length where Pillow's table has a reader for it.
    """
    remainder = _Remainder(body)
    exif, xmp = bytearray(), b""
    match = _MARKER.search(body, 2)
    while match is not None:
        remainder.count_block()
        start, marker = match.start(), match.group()[1]
        content = start + 4
        end = start + 2
        if marker == _SCAN:
            break
        if MARKER.get(0xFF00 | marker, ("", "", None))[2] is not None:
            end += int.from_bytes(body[start + 2 : content], "big")
            if not content <= end <= len(body):
                break
            if (_APP0 < marker <= _APP15 and marker != _APP14) or marker == _COMMENT:
                remainder.leave_out(start, end)
                if marker == _APP1 and body.startswith(_EXIF, content) and len(exif) + end - start <= _MAX_METADATA:
                    exif += memoryview(body)[content + len(_EXIF) : end]
                elif marker == _APP1 and body.startswith(_XMP, content):
                    xmp = body[content + len(_XMP) : end]
        match = _MARKER.search(body, end)
    return remainder.to_bytes(), bytes(exif), xmp


def _exif_orientation(exif: bytes) -> int | None:
    """The orientation in the first directory of EXIF data, which have a TIFF file's form; None if it cannot be read."""
    tiff = exif.removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or tiff[2:4] not in (b"*\0", b"\0*"):
        return None
    orientation = None
    with suppress(struct.error):  # it is cut
        (place,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, place)
        for entry in range(place + 2, place + 2 + 12 * entries, 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", tiff, entry)
            form = {1: "B", 3: "H", 4: "I"}.get(kind)
            if tag == _ORIENTATION and count == 1 and form is not None:
                (orientation,) = struct.unpack_from(f"{order}{form}", tiff, entry + 8)
    return orientation


def _xmp_orientation(xmp: bytes) -> int | None:
    match = _XMP_ORIENTATION.search(xmp)
    return None if match is None else int(match[1])


def _inflated(packed: bytes) -> bytes:
    """What zlib packed; nothing where it is damaged or larger than is read."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, _MAX_METADATA)
    except zlib.error:
        return b""
    return text if unpacker.eof else b""


def _from_digits(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


def _international_text(content: bytes) -> bytes:
    """The text of an `iTXt` chunk: flag, method, language, translated keyword, and the text, packed or not."""
    fields = content[2:].split(b"\0", 2)
    text = fields[-1] if len(fields) == 3 else b""
    return _inflated(text) if content[:1] == b"\1" else text
