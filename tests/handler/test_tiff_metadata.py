"""TIFF files: what is taken has the pixels that a person sees, and what Pillow would read otherwise is refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.picture_kinds import PICTURE_KINDS

COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 12, 9), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
GREY = InputSpec(name="image", dtype="uint8", shape=(1, 12, 9), low=0, high=255, decoding=ImageDecoding(mode="L"))
NOISE = np.random.default_rng(3).integers(0, 256, (12, 9, 3), dtype=np.uint8)
PLANE = np.ascontiguousarray(NOISE[..., 0])
XMP = b'<rdf:Description tiff:Orientation="2"/>'


def encoded(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="TIFF", **options)
    return buffer.getvalue()


def tiff(
    pieces: list[bytes], fields: dict[int, int | tuple[int, ...]], *, order: str = "<", following: bytes = bytes(4)
) -> bytes:
    """A TIFF file of strips or tiles; numbers are shorts where they are small, and longs."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    places = tuple(len(head) + sum(map(len, pieces[:index])) for index in range(len(pieces)))
    tiled = 322 in fields
    described: dict[int, int | tuple[int, ...]] = {
        256: 9,
        257: 12,
        258: 8,
        259: 1,
        262: 1,
        277: 1,
        324 if tiled else 273: places,
        325 if tiled else 279: tuple(map(len, pieces)),
    }
    body = head + b"".join(pieces)
    entries = b""
    described |= fields
    for number, value in sorted(described.items()):
        values = value if isinstance(value, tuple) else (value,)
        kind, letter = (3, "H") if max(values) < 1 << 16 and number not in (273, 279, 324, 325) else (4, "I")
        content = struct.pack(f"{order}{len(values)}{letter}", *values)
        if len(content) > 4:
            content, body = struct.pack(f"{order}I", len(body)), body + content
        entries += struct.pack(f"{order}HHI", number, kind, len(values)) + content.ljust(4, b"\0")
    body = body[:4] + struct.pack(f"{order}I", len(body)) + body[8:]
    return body + struct.pack(f"{order}H", len(described)) + entries + following


PLAIN = tiff([PLANE.tobytes()], {})


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_every_lossless_compression_gives_the_pixels_of_png(compression: str, mode: str) -> None:
    picture = Image.fromarray(NOISE)
    picture = picture.quantize(30) if mode == "P" else picture.convert(mode)
    if mode in ("LA", "RGBA"):
        picture.putalpha(Image.fromarray(PLANE))
    buffer = io.BytesIO()
    (picture.convert("RGB") if mode == "CMYK" else picture).save(buffer, format="PNG")
    expected = decode_image(buffer.getvalue(), COLOUR)
    np.testing.assert_array_equal(decode_image(encoded(picture, compression=compression), COLOUR), expected)


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_fax(compression: str) -> None:
    picture = Image.fromarray(PLANE > 127)
    expected = np.where(PLANE > 127, 255, 0)
    np.testing.assert_array_equal(decode_image(encoded(picture, compression=compression), GREY)[0], expected)


def test_jpeg_in_tiff_is_what_pillow_reads() -> None:
    for picture in (Image.fromarray(NOISE), Image.fromarray(NOISE).convert("YCbCr"), Image.fromarray(PLANE)):
        body = encoded(picture, compression="jpeg", quality=90)
        expected = np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).transpose(2, 0, 1)
        np.testing.assert_array_equal(decode_image(body, COLOUR), expected)
        assert PICTURE_KINDS["TIFF"].count_scans(body) == 1


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_keep_the_high_byte(order: str) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (12, 9, 3)).astype(f"{order}u2")
    grey = tiff([values[..., 0].tobytes()], {258: 16}, order=order)
    np.testing.assert_array_equal(decode_image(grey, GREY)[0], values[..., 0] >> 8)
    packed = zlib.compress(values.tobytes())
    for pieces, compression in (([values.tobytes()], 1), ([packed], 8)):
        colour = tiff(pieces, {258: (16,) * 3, 262: 2, 277: 3, 259: compression}, order=order)
        np.testing.assert_array_equal(decode_image(colour, COLOUR), (values >> 8).transpose(2, 0, 1))


def test_strips_tiles_and_planes() -> None:
    rows = [PLANE[start : start + 5].tobytes() for start in (0, 5, 10)]
    np.testing.assert_array_equal(decode_image(tiff(rows, {278: 5}), GREY)[0], PLANE)
    padded = np.zeros((16, 16), np.uint8)
    padded[:12, :9] = PLANE
    np.testing.assert_array_equal(decode_image(tiff([padded.tobytes()], {322: 16, 323: 16}), GREY)[0], PLANE)
    planes = [np.ascontiguousarray(NOISE[..., channel]).tobytes() for channel in range(3)]
    separate = tiff(planes, {258: (8, 8, 8), 262: 2, 277: 3, 284: 2})
    np.testing.assert_array_equal(decode_image(separate, COLOUR), NOISE.transpose(2, 0, 1))
    white = tiff([PLANE.tobytes()], {262: 0})
    np.testing.assert_array_equal(decode_image(white, GREY)[0], 255 - PLANE)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_is_applied_once(orientation: int) -> None:
    expected = Image.open(io.BytesIO(tiff([PLANE.tobytes()], {274: orientation})))
    expected.load()  # Pillow turns a TIFF picture while it loads it
    spec = InputSpec(**{**vars(GREY), "shape": (1, expected.height, expected.width)})
    body = tiff([zlib.compress(PLANE.tobytes())], {274: orientation, 259: 8})
    np.testing.assert_array_equal(decode_image(body, spec)[0], np.asarray(expected))


def test_metadata_change_no_pixel() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[700] = "a history of edits " * 5000, XMP
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    body = encoded(Image.fromarray(NOISE), tiffinfo=tags, icc_profile=profile)
    np.testing.assert_array_equal(decode_image(body, COLOUR), NOISE[:, ::-1].transpose(2, 0, 1))
    bare, orientation = PICTURE_KINDS["TIFF"].without_metadata(body)
    assert orientation == 2
    assert not {270, 700, 34675} & set(Image.open(io.BytesIO(bare)).getexif())


def test_smaller_versions_of_the_picture_are_no_pages() -> None:
    following = struct.pack("<I", len(PLAIN))
    small = struct.pack("<H", 1) + struct.pack("<HHIHH", 254, 4, 1, 1, 0) + bytes(4)
    np.testing.assert_array_equal(decode_image(PLAIN[:-4] + following + small, GREY)[0], PLANE)
    looped = PLAIN[:-4] + following + small[:-4] + following
    np.testing.assert_array_equal(decode_image(looped, GREY)[0], PLANE)


WIDE = b"\0" * 9 * 12 * 8


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (encoded(Image.new("F", (9, 12))), "values of 32 bits"),
        (encoded(Image.new("I", (9, 12))), "values of 32 bits"),
        (tiff([WIDE], {258: 12}), "values of 12 bits"),
        (tiff([WIDE], {258: (8, 8, 4), 262: 2, 277: 3}), "values of 4 and 8 bits"),
        (tiff([WIDE], {339: 2}), "values with a sign or a fraction"),
        (tiff([WIDE], {258: 16, 339: 3}), "values with a sign or a fraction"),
        (tiff([WIDE], {258: 16, 262: 0}), "values of 16 bits"),
        (encoded(Image.new("LAB", (9, 12))), "photometric interpretation 8"),
        (tiff([WIDE], {258: (8, 8, 8), 262: 6, 277: 3}), "colour in YCbCr that is not compressed by JPEG"),
        (tiff([WIDE], {258: (16,) * 3, 262: 2, 277: 3, 284: 2}), "channels of 16 bits in separate planes"),
        (tiff([WIDE], {258: (8, 8), 277: 2, 338: 1}), "grey that was multiplied by its transparency"),
        (tiff([WIDE], {258: (8,) * 4, 262: 5, 277: 4, 332: 2}), "inks other than CMYK"),
        (tiff([WIDE], {259: 6}), "compression 6"),
        (tiff([WIDE], {259: 4}), "fax of more than one bit"),
        (tiff([WIDE], {262: 32803}), "photometric interpretation 32803"),
        (tiff([WIDE], {254: 1}), "a camera's raw picture, or a preview of another one in the file"),
        (tiff([WIDE], {50706: 1}), "a camera's raw picture, or a preview of another one in the file"),
        (encoded(Image.fromarray(PLANE), save_all=True, append_images=[Image.fromarray(PLANE)]), "several pages"),
    ],
)
def test_what_pillow_would_read_otherwise_is_refused(body: bytes, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_image(body, COLOUR)
    assert (caught.value.error, caught.value.found, caught.value.status) == ("TIFF file not taken", found, 400)
    assert "save the picture as PNG or JPEG" in caught.value.expected


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (tiff([b""] * 16_385, {256: 1, 257: 16_385, 278: 1}), "found 16385 strips or tiles"),
        (tiff([WIDE], {322: 60_000, 323: 60_000, 259: 5}), "found tiles of 60000 x 60000 in a picture of 9 x 12"),
        (tiff([WIDE], {258: (8,) * 16_385}), "too many values in a field of a TIFF file"),
        (b"II*\0\x08\0\0\0" + struct.pack("<H", 2000) + bytes(12 * 2000 + 4), "too many fields in a TIFF file"),
    ],
)
def test_what_asks_for_much_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest, match=message) as caught:
        decode_image(body, COLOUR)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (tiff([PLANE.tobytes()], {278: 5}), "3 strips or tiles expected, 1 found"),
        (tiff([PLANE.tobytes()], {273: (8, 8), 279: (190, 190), 278: 6}), "strips or tiles that share their data"),
        (tiff([PLANE.tobytes()], {279: 5000}), "a strip or tile that is cut off"),
        (tiff([PLANE.tobytes()], {256: 0}), "a picture of 0 x 12"),
        (tiff([PLANE.tobytes()], {322: 0, 323: 16}), "strips or tiles of 0 x 16"),
        (b"II*\0\x08\0\0", "its directory lies outside the file"),
        (b"II*\0\xff\xff\0\0", "its directory lies outside the file"),
        (PLAIN.replace(struct.pack("<HHI", 256, 3, 1), struct.pack("<HHI", 256, 5, 1)), "field 256"),
    ],
)
def test_damage_is_named(body: bytes, reason: str) -> None:
    with pytest.raises(BadRequest, match=r"TIFF file cannot be decoded: expected a whole TIFF file, found ") as caught:
        decode_image(body, COLOUR)
    assert reason in caught.value.found


def test_scans_of_jpeg_in_tiff_count(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.fromarray(PLANE).save(buffer, format="JPEG", progressive=True)
    scan: NDArray[np.uint8] = np.frombuffer(buffer.getvalue(), np.uint8)
    body = tiff([scan.tobytes()], {259: 7})
    assert PICTURE_KINDS["TIFF"].count_scans(body) == 6
    last = scan.tobytes()[scan.tobytes().rfind(b"\xff\xda") : -2]
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load", lambda _: pytest.fail("it is decoded"))
    with pytest.raises(BadRequest, match="too many scans"):
        decode_image(tiff([scan.tobytes()[:-2] + last * 99 + b"\xff\xd9"], {259: 7}), COLOUR)
