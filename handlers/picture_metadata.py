"""What a picture file says besides its pixels: how it is turned. All else is taken out before the file is decoded.

Texts, colour profiles, thumbnails and histories of edits change no pixel, and may be larger than the picture. Pillow
refuses a PNG file whose unpacked text or profile exceeds 1 MB; of EXIF data it copies a value for every entry, and the
whole for every segment of a JPEG file. So the blocks of a file (chunks of a PNG, segments of a JPEG) are stepped over
once, by a function for each kind of file. What is kept of them is the orientation: of the EXIF data or, where these
have none, of the XMP data, as Pillow reads it.
"""

from __future__ import annotations

import re
import struct
from contextlib import suppress

from .bad_request import BadRequest

# A camera's picture has tens of blocks; a PNG file written in pieces of 8 kB has some thousands.
MAX_BLOCKS = 16_384
# In bytes, packed and unpacked. EXIF and XMP data beyond it are not read; what cameras and editors write is smaller.
MAX_METADATA = 1 << 20

_ORIENTATION = 0x0112
EXIF = b"Exif\0\0"
_XMP_ORIENTATION = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')


def read_orientation(exif: bytes, xmp: bytes) -> int:
    """How a picture is turned.

    Args:
        exif: EXIF data; empty where the file has none.
        xmp: XMP data, likewise.

    Returns:
        The EXIF orientation, 1 to 8; 1 where there is none that can be read.
    """
    return _exif_orientation(exif) or _xmp_orientation(xmp) or 1


class Remainder:
    """What is left of a file: itself where nothing is left out, else one copy."""

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
        """Leave out these bytes, which lie behind all that were left out before."""
        self._kept += memoryview(self._body)[self._place : start]
        self._place = end

    def to_bytes(self) -> bytes:
        """The file without what was left out."""
        if self._place == 0:
            return self._body
        self._kept += memoryview(self._body)[self._place :]
        return bytes(self._kept)


def _exif_orientation(exif: bytes) -> int | None:
    """The orientation in the first directory of EXIF data, which have a TIFF file's form; None if it cannot be read."""
    tiff = exif.removeprefix(EXIF)
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
