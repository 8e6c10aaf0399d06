"""BMP files: which of them are taken. They have no metadata that change pixels."""

from __future__ import annotations

import struct

from .bad_request import BadRequest

# Values of the field that says how pixels are packed: as they are, and with a mask for each channel.
_PLAIN = (0, 3)
# The first header is followed by a second one, whose length it begins with. That of OS/2, of 12 bytes, packs nothing.
_SHORT, _PACKED_AT = 12, 30


def bmp_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Refuse a BMP file of run lengths, which Pillow reads in Python, a hundred times as slowly as plain pixels.

    Args:
        body: bytes of the file.

    Returns:
        The file, and its orientation, always 1.

    Raises:
        BadRequest: its pixels are packed.
    """
    if body[14:18] != struct.pack("<I", _SHORT) and len(body) >= _PACKED_AT + 4:
        (packed,) = struct.unpack_from("<I", body, _PACKED_AT)
        if packed not in _PLAIN:
            raise BadRequest(
                "BMP file not taken",
                expected="pixels that are not packed; save the picture as PNG or JPEG",
                found={1: "run lengths", 2: "run lengths"}.get(packed, f"compression {packed}"),
            )
    return body, 1
