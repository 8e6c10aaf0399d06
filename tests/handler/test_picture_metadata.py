"""What files say besides their pixels: as much as they like, and the pixels stay the same."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.jpeg_metadata import jpeg_without_metadata
from pipeline._handlers.picture_metadata import MAX_BLOCKS
from pipeline._handlers.png_metadata import png_without_metadata

COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 8, 6), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
PIXELS: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 256, (8, 6, 3), dtype=np.uint8)
LONG = b"a history of edits, a prompt. " * 50_000  # 1.5 MB
# One entry: the orientation, mirrored from left to right.
MIRRORED = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x02\0\0\0\0\0\0"
XMP = b'<rdf:Description tiff:Orientation="2"/>'


def encoded(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format=form)
    return buffer.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def png(*chunks: bytes, behind: bytes = b"") -> bytes:
    """A PNG file with chunks in front of its pixels, and behind them."""
    return PNG[:33] + b"".join(chunks) + PNG[33:-12] + behind + PNG[-12:]


def jpeg(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def digits(exif: bytes) -> bytes:
    return b"Raw profile type exif\0\nexif\n      32\n" + exif.hex().encode()


PACKED_TEXT = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(LONG))


@pytest.mark.parametrize(
    "body",
    [
        png(chunk(b"tEXt", b"workflow\0" + LONG)),
        png(PACKED_TEXT),
        png(behind=PACKED_TEXT),
        png(chunk(b"iTXt", b"prompt\0\1\0\0\0" + zlib.compress(LONG))),
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP + LONG))),
        png(chunk(b"iCCP", b"profile\0\0" + zlib.compress(bytes(1_200_000)))),
        png(*[chunk(b"tEXt", b"a\0b")] * 15_000),
        png(chunk(b"eXIf", b"MM\0*, and then nothing")),
        png(chunk(b"eXIf", b"")),
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1")),
        png(chunk(b"zTXt", b"Raw profile type exif\0\0no zlib")),
        png(chunk(b"tEXt", digits(MIRRORED) + b"zz")),
    ],
)
def test_png_files_with_much_metadata_have_the_pixels_of_the_plain_one(body: bytes) -> None:
    np.testing.assert_array_equal(decode_image(body, COLOUR), PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "body",
    [
        jpeg(*[segment(0xE1, b"Exif\0\0" + bytes(60_000))] * 100),
        jpeg(*[segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(60_000))] * 20, segment(0xFE, bytes(60_000))),
        jpeg(*[segment(0xE1, b"Exif\0\0.")] * 15_000),
        jpeg(segment(0xE1, b"Exif\0\0")),
        jpeg(segment(0xE1, b"Exif\0\0http://ns.adobe.com")),
        jpeg(segment(0xED, b"Photoshop 3.0\0" + b"8BIM" * 9)),
        jpeg(b"\xff" * 1000, segment(0xE5, b"\xff\xd8\xff\xda")),
    ],
)
def test_jpeg_files_with_much_metadata_have_the_pixels_of_the_plain_one(body: bytes) -> None:
    np.testing.assert_array_equal(decode_image(body, COLOUR), decode_image(JPEG, COLOUR))


@pytest.mark.parametrize(
    "body",
    [
        png(PACKED_TEXT, chunk(b"eXIf", MIRRORED)),
        png(behind=chunk(b"eXIf", MIRRORED) + PACKED_TEXT),
        png(chunk(b"eXIf", b"Exif\0\0" + MIRRORED)),
        png(PACKED_TEXT, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        png(chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0en\0name\0" + zlib.compress(XMP))),
        png(PACKED_TEXT, chunk(b"tEXt", digits(b"Exif\0\0" + MIRRORED))),
        png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(digits(MIRRORED).partition(b"\0")[2]))),
        jpeg(segment(0xE1, b"Exif\0\0" + MIRRORED), *[segment(0xE2, bytes(60_000))] * 20),
        jpeg(*[segment(0xE2, bytes(60_000))] * 20, segment(0xE1, b"Exif\0\0Exif\0\0" + MIRRORED)),
        jpeg(segment(0xE1, b"Exif\0\0" + MIRRORED[:-3])),
        jpeg(segment(0xE1, b"Exif\0\0" + MIRRORED[:12]), segment(0xE1, b"Exif\0\0" + MIRRORED[12:])),
        jpeg(segment(0xE1, b"Exif\0\0unreadable"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    ],
)
def test_a_mirrored_picture_stays_mirrored(body: bytes) -> None:
    plain = decode_image(PNG if body.startswith(b"\x89") else JPEG, COLOUR)
    np.testing.assert_array_equal(decode_image(body, COLOUR), plain[:, :, ::-1])


def exif_of_pillow(orientation: object, order: str) -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F], exif[0x0112], exif[0x011A] = "a maker" * 9, orientation, 72.0
    return exif.tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("wrap", [lambda exif: png(chunk(b"eXIf", exif[6:])), lambda exif: jpeg(segment(0xE1, exif))])
def test_orientations_are_those_that_pillow_reads(order: str, wrap: Callable[[bytes], bytes]) -> None:
    for orientation in range(10):
        body = wrap(exif_of_pillow(orientation, order))
        picture = Image.open(io.BytesIO(body))
        expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB").resize((6, 8), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(decode_image(body, COLOUR), expected.transpose(2, 0, 1))


def test_random_exif_data_turn_a_picture_as_pillow_turns_it_or_not_at_all() -> None:
    generator = np.random.default_rng(0)
    whole = np.frombuffer(exif_of_pillow(6, ">"), dtype=np.uint8)
    for _ in range(300):
        damaged = whole.copy()
        damaged[generator.integers(6, len(whole), 2)] = generator.integers(0, 256, 2, dtype=np.uint8)
        body = jpeg(segment(0xE1, damaged.tobytes()))
        bare, orientation = jpeg_without_metadata(body)
        assert bare == JPEG
        with suppress(SyntaxError, TypeError, ValueError, struct.error, UserWarning):  # Pillow cannot read it
            assert orientation in (Image.open(io.BytesIO(body)).getexif().get(0x0112, 1), 1)


def test_every_entry_of_exif_data_may_claim_all_of_them() -> None:
    entries = b"".join(struct.pack(">HHII", tag, 7, 900_000, 8) for tag in range(60_000))
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">H", 60_000) + entries + bytes(200_000)
    body = png(chunk(b"eXIf", exif))  # 54 GB, if each value is copied
    np.testing.assert_array_equal(decode_image(body, COLOUR), PIXELS.transpose(2, 0, 1))


def test_transparency_and_palettes_are_no_metadata() -> None:
    for mode, options in (("RGB", {"transparency": (1, 2, 3)}), ("P", {"transparency": 3}), ("LA", {})):
        buffer = io.BytesIO()
        Image.fromarray(PIXELS).convert(mode).save(buffer, format="PNG", **options)
        plain = buffer.getvalue()
        with_text = plain[:33] + PACKED_TEXT + plain[33:]
        np.testing.assert_array_equal(decode_image(with_text, COLOUR), decode_image(plain, COLOUR))
        assert png_without_metadata(with_text) == (plain, 1)


def test_the_first_frame_of_an_animation_counts() -> None:
    buffer = io.BytesIO()
    others = [Image.fromarray(255 - PIXELS), Image.fromarray(PIXELS // 2)]
    Image.fromarray(PIXELS).save(buffer, format="PNG", save_all=True, append_images=others)
    np.testing.assert_array_equal(decode_image(buffer.getvalue(), COLOUR), PIXELS.transpose(2, 0, 1))


@pytest.mark.parametrize(
    "body", [png(*[chunk(b"tEXt", b"")] * (MAX_BLOCKS + 1)), jpeg(*[segment(0xFE, b"")] * (MAX_BLOCKS + 1))]
)
def test_too_many_blocks_are_refused(body: bytes) -> None:
    with pytest.raises(
        BadRequest, match="too many chunks or segments in a picture file: expected at most 16384"
    ) as caught:
        decode_image(body, COLOUR)
    assert caught.value.status == 413


def test_a_file_without_metadata_is_not_copied() -> None:
    assert png_without_metadata(PNG)[0] is PNG
    assert jpeg_without_metadata(JPEG)[0] is JPEG
