"""The orientation in a picture file's metadata. All other metadata is removed before the file is decoded.

Texts, colour profiles, thumbnails and histories of edits change no pixel, and may be larger than the picture. Pillow
refuses a PNG file whose unpacked text or profile exceeds 1 MB. It copies a value for every entry of EXIF data, and the
whole EXIF data for every segment of a JPEG file. So a function for each kind of file goes once through the blocks of a
file (chunks of a PNG, segments of a JPEG). It keeps only the orientation: that in the EXIF data or, where they have
none, that in the XMP data, as Pillow reads it.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress

from .bad_request import BadRequest

# Largest number of blocks. A camera's picture has tens of them; a PNG file written in pieces of 8 kB has some
# thousands.
MAX_BLOCKS = 16_384
# Longest EXIF or XMP data that are read, in bytes, packed and unpacked. What cameras and editors write is smaller.
MAX_METADATA = 1 << 20

_ORIENTATION = 0x0112
EXIF = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def read_orientation(exif: bytes, xmp: bytes) -> int:
    """Read how a picture is turned.

    Args:
        exif: EXIF data; empty where the file has none.
        xmp: XMP data; empty where the file has none.

    Returns:
        The EXIF orientation, 1 to 8; 1 where there is none that can be read.
    """
    return _exif_orientation(exif) or _xmp_orientation(xmp) or 1


class Remainder:
    """The rest of a file from which blocks are left out: one copy, or the file itself where nothing is left out."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._kept = bytearray()
        self._place = 0
        self._blocks = 0

    def count_block(self) -> None:
        """Count a block of the file.

        Raises:
            BadRequest: there are more than `MAX_BLOCKS`.
        """
        self._blocks += 1
        if self._blocks > MAX_BLOCKS:
            raise BadRequest(
                "too many chunks or segments in a picture file",
                expected=f"at most {MAX_BLOCKS}",
                found="more",
                status=413,
            )

    def leave_out(self, start: int, end: int) -> None:
        """Leave out these bytes; they must lie behind all bytes that were left out before."""
        self._kept += memoryview(self._body)[self._place : start]
        self._place = end

    def to_bytes(self) -> bytes:
        """Return the file without the bytes that were left out."""
        if self._place == 0:
            return self._body
        self._kept += memoryview(self._body)[self._place :]
        return bytes(self._kept)


def _exif_orientation(exif: bytes) -> int | None:
    """Read the orientation in the first directory of EXIF data, which are a TIFF file; None if it cannot be read."""
    tiff = exif.removeprefix(EXIF)
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None or tiff[2:4] not in (b"*\0", b"\0*"):
        return None
    orientation = None
    with suppress(struct.error):  # the data may be cut off
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
