"""The kinds of picture files that a model takes: a closed table, by the words that messages use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from .jpeg_metadata import jpeg_without_metadata
from .jpeg_scans import count_scans
from .png_metadata import png_without_metadata

PictureKindName = Literal["PNG", "JPEG"]


@dataclass(frozen=True, kw_only=True)
class PictureKind:
    """The facts about a kind of picture file.

    Args:
        signature: bytes that every such file has, by their place in it.
        base64_start: beginning of such a file as text (base64).
        media_type: media type of a body that is such a file.
        open: Pillow's reader of this kind, and of no other; it decodes nothing yet.
        without_metadata: function that removes from a file all that changes no pixel; it returns the rest, and the EXIF
            orientation, 1 for none.
        count_scans: function that counts the passes over the whole picture that decoding takes, at least 1.
    """

    signature: Mapping[int, bytes]
    base64_start: bytes
    media_type: str
    open: Callable[[BinaryIO], ImageFile]
    without_metadata: Callable[[bytes], tuple[bytes, int]]
    count_scans: Callable[[bytes], int]


def _one_scan(_: bytes) -> int:
    return 1


PICTURE_KINDS: dict[PictureKindName, PictureKind] = {
    "PNG": PictureKind(
        signature={0: b"\x89PNG\r\n\x1a\n"},
        base64_start=b"iVBORw0KGgo",
        media_type="image/png",
        open=PngImageFile,
        without_metadata=png_without_metadata,
        count_scans=_one_scan,
    ),
    "JPEG": PictureKind(
        signature={0: b"\xff\xd8\xff"},
        base64_start=b"/9j/",
        media_type="image/jpeg",
        open=JpegImageFile,
        without_metadata=jpeg_without_metadata,
        count_scans=count_scans,
    ),
}
# Description of a picture file, for messages.
PICTURE_FILE = f"a {' or '.join(PICTURE_KINDS)} file"
# Beginnings of a picture as text: base64, alone or in a data URL.
_TEXT_STARTS = (*(kind.base64_start for kind in PICTURE_KINDS.values()), b"data:image/")


def picture_kind(body: bytes | bytearray) -> PictureKindName | None:
    """Tell the kind of a file by its first bytes; None where it is not a picture of a kind in the table."""
    for name, kind in PICTURE_KINDS.items():
        if all(body.startswith(part, place) for place, part in kind.signature.items()):
            return name
    return None


def describe_bytes(body: bytes) -> str:
    """Describe bytes that are not a picture file, for messages."""
    if body.lstrip().startswith(_TEXT_STARTS):
        return "a picture as text (base64); send the file's bytes as they are"
    return f"{len(body)} bytes beginning with {body[:8]!r}" if body else "0 bytes"
