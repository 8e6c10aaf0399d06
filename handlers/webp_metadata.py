"""The metadata of a WebP file, which is read in one pass over the file's chunks."""

from __future__ import annotations

import struct

from .picture_metadata import MAX_METADATA, Remainder, read_orientation


def webp_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Read the orientation of a WebP file; its metadata stay in it, for Pillow copies them once and reads nothing.

    Where a file is cut or malformed, the decoder says what is wrong.

    Args:
        body: bytes of the file.

    Returns:
        The file, and its orientation, 1 where it has none that can be read.

    Raises:
        BadRequest: it has too many chunks.
    """
    remainder = Remainder(body)
    metadata: dict[bytes, bytes] = {}
    place = 12
    while place + 8 <= len(body):
        remainder.count_block()
        name, length = struct.unpack_from("<4sI", body, place)
        if name in (b"EXIF", b"XMP ") and length <= MAX_METADATA:
            metadata.setdefault(name, body[place + 8 : place + 8 + length])
        place += 8 + length + length % 2
    return body, read_orientation(metadata.get(b"EXIF", b""), metadata.get(b"XMP ", b""))
