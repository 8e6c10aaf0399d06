"""What GIF, WebP and BMP files say besides their pixels."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.bmp_metadata import bmp_without_metadata
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.gif_metadata import gif_without_metadata
from pipeline._handlers.webp_metadata import webp_without_metadata

COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 8, 6), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
PIXELS = np.random.default_rng(3).integers(0, 256, (8, 6), dtype=np.uint8)


def encoded(form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=form, **options)
    return buffer.getvalue()


GIF, WEBP = encoded("GIF"), encoded("WEBP", lossless=True)
PICTURE = GIF.index(b",\0\0\0\0")


def gif(*blocks: bytes) -> bytes:
    return GIF[:PICTURE] + b"".join(blocks) + GIF[PICTURE:]


COMMENT = b"!\xfe" + b"\xff" + b"x" * 255 + b"\0"


@pytest.mark.parametrize(
    "body",
    [
        gif(COMMENT * 30),
        gif(b"!\xff\x0bXMP DataXMP" + b"\xff" * 256 + b"\0"),
        gif(b"!\xf9\4\x08\0\0\0\0"),  # it asks for a second picture to be put in its place
        gif(b"\0\0\0"),
        GIF + b"\xff" * 100,
    ],
)
def test_blocks_of_a_gif_file_change_no_pixel(body: bytes) -> None:
    np.testing.assert_array_equal(decode_image(body, COLOUR), np.stack([PIXELS] * 3))


def test_the_transparent_colour_of_a_gif_file_stays() -> None:
    colours = np.asarray(Image.open(io.BytesIO(GIF)))
    body = gif(b"!\xf9\4\1\0\0" + bytes((int(colours[0, 0]),)) + b"\0", COMMENT)
    expected = np.where(colours == colours[0, 0], 0, PIXELS)
    np.testing.assert_array_equal(decode_image(body, COLOUR)[0], expected)
    without_comment = gif_without_metadata(body)[0]
    assert len(without_comment) == len(GIF) + 8
    assert gif_without_metadata(GIF) == (GIF, 1)


def test_millions_of_blocks_are_refused() -> None:
    for body in (gif(b"!\xfe" + b"\1x" * 20_000 + b"\0"), gif(b"!\xfe\0" * 20_000), gif(b"\0" * 20_000)):
        with pytest.raises(BadRequest, match="too many chunks or segments") as caught:
            decode_image(body, COLOUR)
        assert caught.value.status == 413
    chunks = struct.pack("<4sI", b"JUNK", 0) * 20_000
    with pytest.raises(BadRequest, match="too many chunks or segments"):
        decode_image(WEBP + chunks, COLOUR)


@pytest.mark.parametrize("body", [b"GIF89a", b"GIF89a" + bytes(30), GIF[:PICTURE] + b";", GIF[: PICTURE + 5]])
def test_a_gif_file_without_a_picture_is_damaged(body: bytes) -> None:
    with pytest.raises(BadRequest, match="GIF file cannot be decoded"):
        decode_image(body, COLOUR)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_webp_file(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded("WEBP", lossless=True, exif=exif)
    assert webp_without_metadata(body)[1] == orientation
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB")
    spec = InputSpec(**{**vars(COLOUR), "shape": (3, expected.height, expected.width)})
    np.testing.assert_array_equal(decode_image(body, spec), np.asarray(expected).transpose(2, 0, 1))


def test_orientation_in_the_xmp_data_of_a_webp_file() -> None:
    body = encoded("WEBP", lossless=True, xmp=b'<rdf:Description tiff:Orientation="2"/>', icc_profile=bytes(9999))
    np.testing.assert_array_equal(decode_image(body, COLOUR)[0], PIXELS[:, ::-1])


def test_a_webp_file_of_a_huge_canvas_is_refused() -> None:
    def canvas(side: int) -> bytes:
        size = struct.pack("<I", side - 1)[:3]
        extended = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + size + size
        return b"RIFF" + struct.pack("<I", len(WEBP) - 8 + len(extended)) + b"WEBP" + extended + WEBP[12:]

    with pytest.raises(BadRequest, match=r"picture too large \(WebP\)") as caught:
        decode_image(canvas(16_383), COLOUR)
    assert caught.value.status == 413


@pytest.mark.parametrize(("packed", "found"), [(1, "run lengths"), (2, "run lengths"), (4, "compression 4")])
def test_packed_bmp_files_are_refused(packed: int, found: str) -> None:
    body = bytearray(encoded("BMP"))
    assert bmp_without_metadata(bytes(body)) == (bytes(body), 1)
    struct.pack_into("<I", body, 30, packed)
    with pytest.raises(BadRequest, match=f"BMP file not taken: .* save the picture as PNG or JPEG, found {found}"):
        decode_image(bytes(body), COLOUR)


@pytest.mark.parametrize("bits", [16, 24, 32])
def test_bmp_files_of_every_depth(bits: int) -> None:
    row = {16: struct.pack("<3H", 0x7C00, 0x03E0, 0x001F) + bytes(2), 24: b"\0\0\xff\0\xff\0\xff\0\0" + bytes(3)}
    pixels = row.get(bits, b"\0\0\xff\0\0\xff\0\0\xff\0\0\0")
    header = struct.pack("<IiiHHIIiiII", 40, 3, 1, 1, bits, 0, len(pixels), 0, 0, 0, 0)
    body = b"BM" + struct.pack("<IHHI", 54 + len(pixels), 0, 0, 54) + header + pixels
    spec = InputSpec(**{**vars(COLOUR), "shape": (3, 1, 3)})
    np.testing.assert_array_equal(decode_image(body, spec)[:, 0], np.eye(3, dtype=np.uint8) * 255)


def test_a_bmp_file_of_os2() -> None:
    body = b"BM" + struct.pack("<IHHI", 0, 0, 0, 26) + struct.pack("<IHHHH", 12, 3, 1, 1, 24)
    body += b"\0\0\xff\0\xff\0\xff\0\0" + bytes(3)
    spec = InputSpec(**{**vars(COLOUR), "shape": (3, 1, 3)})
    np.testing.assert_array_equal(decode_image(body, spec)[:, 0], np.eye(3, dtype=np.uint8) * 255)
