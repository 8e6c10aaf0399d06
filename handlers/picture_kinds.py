"""The kinds of picture files that a model takes: a closed table, by the words that messages use."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal, cast

from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from .bmp_metadata import bmp_without_metadata
from .foreign_kinds import foreign_kind
from .gif_metadata import gif_without_metadata
from .jpeg_metadata import jpeg_without_metadata
from .jpeg_scans import count_scans
from .png_metadata import png_without_metadata
from .tiff_metadata import count_tiff_scans, tiff_without_metadata
from .webp_metadata import webp_without_metadata

PictureKindName = Literal["PNG", "JPEG", "WebP", "GIF", "BMP", "TIFF"]


@dataclass(frozen=True, kw_only=True)
class PictureKind:
    """The facts about a kind of picture file.

    Args:
        signatures: bytes that such a file has, by their place in it; each file has those of one of these mappings.
        media_type: media type of a body that is such a file.
        open: Pillow's reader of this kind, and of no other; it decodes nothing yet.
        without_metadata: function that removes from a file all that changes no pixel; it returns the rest, and the EXIF
            orientation, 1 for none.
        count_scans: function that counts the passes over the whole picture that decoding takes, at least 1.
    """

    signatures: tuple[Mapping[int, bytes], ...]
    media_type: str
    open: Callable[[BinaryIO], ImageFile]
    without_metadata: Callable[[bytes], tuple[bytes, int]]
    count_scans: Callable[[bytes], int]


def _one_scan(_: bytes) -> int:
    return 1


PICTURE_KINDS: dict[PictureKindName, PictureKind] = {
    "PNG": PictureKind(
        signatures=({0: b"\x89PNG\r\n\x1a\n"},),
        media_type="image/png",
        open=PngImageFile,
        without_metadata=png_without_metadata,
        count_scans=_one_scan,
    ),
    "JPEG": PictureKind(
        signatures=({0: b"\xff\xd8\xff"},),
        media_type="image/jpeg",
        open=JpegImageFile,
        without_metadata=jpeg_without_metadata,
        count_scans=count_scans,
    ),
    "WebP": PictureKind(
        signatures=({0: b"RIFF", 8: b"WEBP"},),
        media_type="image/webp",
        open=WebPImageFile,
        without_metadata=webp_without_metadata,
        count_scans=_one_scan,
    ),
    "GIF": PictureKind(
        signatures=({0: b"GIF87a"}, {0: b"GIF89a"}),
        media_type="image/gif",
        open=GifImageFile,
        without_metadata=gif_without_metadata,
        count_scans=_one_scan,
    ),
    "BMP": PictureKind(
        # Two letters begin many a text; the length of the second header is a small number of 4 bytes.
        signatures=({0: b"BM", 15: b"\0\0\0"},),
        media_type="image/bmp",
        open=BmpImageFile,
        without_metadata=bmp_without_metadata,
        count_scans=_one_scan,
    ),
    "TIFF": PictureKind(
        signatures=({0: b"II*\0"}, {0: b"MM\0*"}),
        media_type="image/tiff",
        open=TiffImageFile,
        without_metadata=tiff_without_metadata,
        count_scans=count_tiff_scans,
    ),
}
_NAMES: tuple[str, ...] = tuple(PICTURE_KINDS)
# Description of a picture file, for messages.
PICTURE_FILE = f"a {', '.join(_NAMES[:-1])} or {_NAMES[-1]} file"
_DATA_URL = b"data:image/"


def _pattern(signature: Mapping[int, bytes]) -> bytes:
    """Write a signature as a regular expression."""
    pattern, end = b"", 0
    for place, part in sorted(signature.items()):
        pattern += b".{%d}" % (place - end) + re.escape(part)
        end = place + len(part)
    return pattern


# One expression holds all signatures, for almost every body is asked. The group that matches is named after the kind.
_SIGNATURES = re.compile(
    b"|".join(
        b"(?P<%s>%s)" % (name.encode(), b"|".join(map(_pattern, kind.signatures)))
        for name, kind in PICTURE_KINDS.items()
    ),
    re.DOTALL,
)
# So many characters of a text in base64 hold the signature of every kind.
_SIGNATURE_TEXT = 24


def picture_kind(body: bytes | bytearray) -> PictureKindName | None:
    """Tell the kind of a file by its first bytes; None where it is not a picture of a kind in the table."""
    match = _SIGNATURES.match(body)
    return None if match is None else cast("PictureKindName", match.lastgroup)


def describe_bytes(body: bytes) -> str:
    """Describe bytes that are not a picture file, for messages."""
    text = body[: 2 * _SIGNATURE_TEXT].lstrip()
    if text.startswith(_DATA_URL) or picture_kind(_from_base64(text[:_SIGNATURE_TEXT])) is not None:
        return "a picture as text (base64); send the file's bytes as they are"
    foreign = foreign_kind(body)
    if foreign:
        return f"{foreign}; convert it to PNG or JPEG"
    return f"{len(body)} bytes beginning with {body[:8]!r}" if body else "0 bytes"


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return b""
