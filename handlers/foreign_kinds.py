"""Kinds of files that are often sent as pictures and not taken: what a message calls them."""

from __future__ import annotations

# Beginning of a file that is a box of ISO media, by the brand of what is in it.
_BRANDS = {
    "a HEIC picture": (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    "an AVIF picture": (b"avif", b"avis"),
    "a camera's raw picture": (b"crx ",),
}
_STARTS = {
    "a PDF document": (b"%PDF",),
    "a JPEG XL picture": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "a JPEG 2000 picture": (b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"),
    "a Photoshop picture": (b"8BPS",),
    "an icon": (b"\0\0\1\0",),
    "an OpenEXR picture": (b"v/1\1",),
    "a BigTIFF picture": (b"II+\0", b"MM\0+"),
    "a camera's raw picture": (b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FUJIFILMCCD-RAW"),
}
# An SVG file is text, with comments and a document type in front of its first element.
_SVG_HEAD = 1024


def foreign_kind(body: bytes) -> str:
    """Name the kind of a file that is a picture or a document, but of a kind that is not taken; empty for any other."""
    if body[4:8] == b"ftyp":
        return next((kind for kind, brands in _BRANDS.items() if body[8:12] in brands), "a film")
    for kind, starts in _STARTS.items():
        if body.startswith(starts):
            return kind
    head = body[:_SVG_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n")
    return "an SVG drawing" if head.startswith(b"<") and b"<svg" in head else ""
