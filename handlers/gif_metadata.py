"""The extensions of a GIF file, which are read in one pass over the blocks in front of its first picture."""

from __future__ import annotations

from .picture_metadata import Remainder

_HEADER, _DESCRIPTOR = 13, 10
_EXTENSION, _PICTURE, _END = 0x21, 0x2C, 0x3B
_CONTROL = 0xF9


def gif_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Take out of a GIF file what stands in front of its first picture, but for the transparent colour.

    A comment may be cut into millions of blocks, and the way in which the picture is to be taken away again asks for a
    second one in memory. Where a file is cut or malformed, it stays as it is: the decoder says what is wrong.

    Args:
        body: bytes of the file.

    Returns:
        The file without these blocks, and its orientation, always 1.

    Raises:
        BadRequest: it has too many blocks.
    """
    remainder = Remainder(body)
    flags = body[10] if len(body) >= _HEADER else 0
    start = place = _HEADER + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    transparent = None
    while place + _DESCRIPTOR <= len(body) and body[place] not in (_PICTURE, _END):
        remainder.count_block()
        if body[place] == _EXTENSION:
            if body[place + 1] == _CONTROL and body[place + 2] >= 4 and body[place + 3] & 1:
                transparent = body[place + 6]
            place += 2
            while place < len(body) and body[place]:
                remainder.count_block()
                place += 1 + body[place]
        place += 1
    if place == start or place + _DESCRIPTOR > len(body) or body[place] == _END:
        return body, 1
    control = b"" if transparent is None else bytes((_EXTENSION, _CONTROL, 4, 1, 0, 0, transparent, 0))
    return b"".join((memoryview(body)[:start], control, memoryview(body)[place:])), 1
