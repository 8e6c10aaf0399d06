"""The metadata of a PNG file, which is read in one pass over the file's chunks."""

from __future__ import annotations

import struct
import zlib

from .picture_metadata import MAX_METADATA, Remainder, read_orientation

# A chunk begins with the length of its content and its name.
_CHUNK = struct.Struct(">I4s")
# Beginning of the content of a chunk that can hold an orientation, by name of the chunk. Before PNG had a chunk for
# EXIF, ImageMagick wrote EXIF data as a text in hexadecimal digits.
_KEYWORDS = {
    b"eXIf": b"",
    b"tEXt": b"Raw profile type exif\0",
    b"zTXt": b"Raw profile type exif\0",
    b"iTXt": b"XML:com.adobe.xmp\0",
}


def png_without_metadata(body: bytes) -> tuple[bytes, int]:
    """Take out of a PNG file the chunks that are not needed for its pixels (small first letter).

    Where a file is cut or malformed, the rest of it stays as it is: the decoder says what is wrong.

    Args:
        body: bytes of the file.

    Returns:
        The file without these chunks, and its orientation, 1 where it has none that can be read.

    Raises:
        BadRequest: it has too many chunks.
    """
    remainder = Remainder(body)
    metadata: dict[bytes, bytes] = {}
    place = 8
    while place + 12 <= len(body):
        remainder.count_block()
        length, name = _CHUNK.unpack_from(body, place)
        end = place + 12 + length
        if end > len(body) or name == b"IEND":
            break
        if name[0] & 0x20 and name != b"tRNS":  # `tRNS` is transparency, which changes pixels
            remainder.leave_out(place, end)
            keyword = _KEYWORDS.get(name)
            if keyword is not None and length <= MAX_METADATA and body.startswith(keyword, place + 8):
                metadata[name] = body[place + 8 + len(keyword) : end - 4]
        place = end
    if not metadata:
        return remainder.to_bytes(), 1
    exif = metadata.get(b"eXIf")
    if exif is None:
        text = metadata.get(b"tEXt") or _inflate(metadata.get(b"zTXt", b"")[1:])
        exif = _from_digits(b"".join(text.split(b"\n")[3:]))
    xmp = _international_text(metadata.get(b"iTXt", b""))
    return remainder.to_bytes(), read_orientation(exif, xmp)


def _inflate(packed: bytes) -> bytes:
    """Decompress zlib's data; nothing is returned where they are damaged or longer than `MAX_METADATA`."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, MAX_METADATA)
    except zlib.error:
        return b""
    return text if unpacker.eof else b""


def _from_digits(text: bytes) -> bytes:
    try:
        return bytes.fromhex(text.decode("ascii"))
    except ValueError:
        return b""


def _international_text(content: bytes) -> bytes:
    """Read the text of an `iTXt` chunk: flag, method, language, translated keyword, and the text, packed or not."""
    fields = content[2:].split(b"\0", 2)
    text = fields[-1] if len(fields) == 3 else b""
    return _inflate(text) if content[:1] == b"\1" else text
