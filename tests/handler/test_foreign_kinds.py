"""Files that are no pictures of a kind that is taken: the message says what they are, and what to convert them to."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import decode_image
from tests.served_models import GREY


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(buffer, format=form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(20), "a HEIC picture"),
        (b"\0\0\0\x18ftypmif1" + bytes(20), "a HEIC picture"),
        (b"\0\0\0\x18ftypcrx " + bytes(20), "a camera's raw picture"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "a film"),
        (encoded("AVIF"), "an AVIF picture"),
        (encoded("JPEG2000"), "a JPEG 2000 picture"),
        (encoded("PDF"), "a PDF document"),
        (encoded("ICO"), "an icon"),
        (b"8BPS\0\1" + bytes(20), "a Photoshop picture"),
        (b"\xff\x0a" + bytes(20), "a JPEG XL picture"),
        (b"IIRO\x08\0" + bytes(20), "a camera's raw picture"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- a house -->\n<svg/>', "an SVG drawing"),
    ],
)
def test_a_foreign_file_is_named_with_what_to_convert_it_to(body: bytes, kind: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_image(body, GREY)
    assert caught.value.found == f"{kind}; convert it to PNG or JPEG"


@pytest.mark.parametrize(
    "body", [b"<html><body>svg</body></html>", b"\0\0\0\x18ft", b"BM and so on", b"RIFF\0\0\0\0WAVE"]
)
def test_what_is_no_picture_is_shown_by_its_bytes(body: bytes) -> None:
    with pytest.raises(BadRequest, match=f"found {len(body)} bytes beginning with "):
        decode_image(body, GREY)
