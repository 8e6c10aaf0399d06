"""The metadata of a JPEG file, which is read in one pass over the file's segments."""

from __future__ import annotations

import re

from PIL.JpegImagePlugin import MARKER

from .picture_metadata import EXIF, MAX_METADATA, Remainder, read_orientation

_XMP = b"http://ns.adobe.com/xap/1.0/\0"
_MARKER = re.compile(rb"\xff[\x01-\xfe]")
# JFIF (0) and Adobe (14) say how colour is stored.
_APP0, _APP1, _APP14, _APP15, _COMMENT, _SCAN = 0xE0, 0xE1, 0xEE, 0xEF, 0xFE, 0xDA


def jpeg_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Take out of a JPEG file the segments that are not needed for its pixels.

    Markers are read as Pillow reads them: a segment has a length where Pillow's table has a reader for it. Where a file
    is cut or malformed, the rest of it stays as it is: the decoder says what is wrong.

    Args:
        body: bytes of the file.

    Returns:
        The file without these segments, and its orientation, 1 where it has none that can be read.

    Raises:
        BadRequest: it has too many segments.
    """
    remainder = Remainder(body)
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
                if marker == _APP1 and body.startswith(EXIF, content) and len(exif) + end - start <= MAX_METADATA:
                    exif += memoryview(body)[content + len(EXIF) : end]
                elif marker == _APP1 and body.startswith(_XMP, content):
                    xmp = body[content + len(_XMP) : end]
        match = _MARKER.search(body, end)
    return remainder.to_bytes(), read_orientation(bytes(exif), xmp)
