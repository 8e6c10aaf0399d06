"""Pictures of every kind, decoded by the one function that both sides use."""

from __future__ import annotations

import contextlib
import io
import json
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.picture_kinds import PICTURE_FILE, PICTURE_KINDS
from pipeline._handlers.pixel_budget import MAX_PIXELS

GREY = InputSpec(name="image", dtype="uint8", shape=(1, 6, 4), low=0, high=255, decoding=ImageDecoding(mode="L"))
COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 6, 4), low=0, high=255, decoding=ImageDecoding(mode="RGB"))


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def encoded(picture: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_grey_png_of_the_right_size_is_unchanged() -> None:
    pixels = noise(6, 4)
    decoded = decode_image(encoded(Image.fromarray(pixels)), GREY)
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels[np.newaxis])


def test_colour_png_becomes_channels_first() -> None:
    pixels = noise(6, 4, 3)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels)), COLOUR), pixels.transpose(2, 0, 1))


def test_colour_becomes_grey_by_luma_in_integers() -> None:
    pixels = noise(6, 4, 3)
    red, green, blue = (pixels[..., channel].astype(np.int64) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16  # ITU-R 601-2, in 16-bit fixed point
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels)), GREY)[0], luma)


def test_grey_becomes_three_equal_channels() -> None:
    decoded = decode_image(encoded(Image.fromarray(noise(6, 4))), COLOUR)
    np.testing.assert_array_equal(decoded, np.stack([noise(6, 4)] * 3))


def test_jpeg_agrees_with_pillow() -> None:
    body = encoded(Image.fromarray(noise(6, 4, 3)), "JPEG", quality=90)
    np.testing.assert_array_equal(
        decode_image(body, COLOUR), np.asarray(Image.open(io.BytesIO(body))).transpose(2, 0, 1)
    )


def test_palette() -> None:
    picture = Image.fromarray(noise(6, 4, 3)).quantize(16)
    np.testing.assert_array_equal(
        decode_image(encoded(picture), COLOUR), np.asarray(picture.convert("RGB")).transpose(2, 0, 1)
    )


def test_two_levels() -> None:
    picture = Image.fromarray(noise(6, 4) > 127)
    np.testing.assert_array_equal(decode_image(encoded(picture), GREY)[0], np.where(noise(6, 4) > 127, 255, 0))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_black(mode: str) -> None:
    body = Image.new("RGBA", (4, 6), (255, 255, 255, 0))
    picture = body.quantize(4) if mode == "P" else body.convert(mode)
    assert decode_image(encoded(picture), COLOUR).max() == 0


def test_half_transparent_is_darkened() -> None:
    assert set(decode_image(encoded(Image.new("LA", (4, 6), (200, 128))), GREY).ravel()) == {100}


def test_colour_key_is_transparent() -> None:
    body = encoded(Image.new("RGB", (4, 6), (10, 200, 30)), transparency=(10, 200, 30))
    assert decode_image(body, COLOUR).max() == 0


def test_sixteen_bits_keep_the_high_byte() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 4)).astype(np.uint16)
    np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(values)), GREY)[0], values >> 8)


def test_sixteen_bits_of_colour_keep_the_high_byte() -> None:
    values = np.random.default_rng(0).integers(0, 65536, (6, 4, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 6, 16, 2, 0, 0, 0))
    body = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    np.testing.assert_array_equal(decode_image(body, COLOUR), (values >> 8).transpose(2, 0, 1))


def test_cmyk_jpeg() -> None:
    body = encoded(Image.new("CMYK", (4, 6), (0, 255, 255, 0)), "JPEG", quality=100)
    red, green, blue = decode_image(body, COLOUR).reshape(3, -1)
    assert red.min() > 250
    assert max(green.max(), blue.max()) < 5


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_exif_orientation_is_applied(orientation: int, form: str) -> None:
    upright = np.zeros((6, 4), dtype=np.uint8)
    upright[:3, :2] = 255  # upper left
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    body = encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif)
    np.testing.assert_array_equal(decode_image(body, GREY)[0] > 127, upright > 127)


def test_orientation_of_sixteen_bits() -> None:
    values = np.arange(24, dtype=np.uint16).reshape(6, 4) * 1000
    exif = Image.Exif()
    exif[0x0112] = 3
    np.testing.assert_array_equal(
        decode_image(encoded(Image.fromarray(values), exif=exif), GREY)[0], (values >> 8)[::-1, ::-1]
    )


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (4, 6), (5, 6), (101, 57)])
def test_any_size_is_resized_with_the_declared_filter(size: tuple[int, int]) -> None:
    picture = Image.fromarray(noise(size[1], size[0]))
    expected = np.asarray(picture.resize((4, 6), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode_image(encoded(picture), GREY)[0], expected)


@pytest.mark.parametrize(
    ("resize", "name"),
    [("nearest", "NEAREST"), ("bilinear", "BILINEAR"), ("bicubic", "BICUBIC"), ("lanczos", "LANCZOS")],
)
def test_filters_are_pillows(resize: Any, name: str) -> None:
    spec = InputSpec(
        name="image", dtype="uint8", shape=(3, 6, 4), low=0, high=255, decoding=ImageDecoding(mode="RGB", resize=resize)
    )
    picture = Image.fromarray(noise(31, 23, 3))
    expected = np.asarray(picture.resize((4, 6), Image.Resampling[name])).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_image(encoded(picture), spec), expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", f"input image: not a picture: expected {PICTURE_FILE}, found 0 bytes"),
        (b"GIF88a and more", f"input image: not a picture: expected {PICTURE_FILE}, found 15 bytes beginning"),
        (b"GIF89a and more", "GIF file cannot be decoded: expected a whole GIF file, found "),
        (b"\x89PNG\r\n\x1a\n", "PNG file cannot be decoded: expected a whole PNG file, found "),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG file cannot be decoded: expected a whole PNG file, found "),
        (b"\xff\xd8\xff" + bytes(100), "JPEG file cannot be decoded: expected a whole JPEG file, found "),
        (encoded(Image.fromarray(noise(6, 4)))[:-30], "PNG file cannot be decoded: expected a whole PNG file, found "),
        (encoded(Image.fromarray(noise(60, 40)), "JPEG")[:-90], "JPEG file cannot be decoded: expected a whole JPEG"),
    ],
)
def test_what_is_not_a_picture_is_named(body: bytes, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_image(body, GREY)
    assert str(caught.value).startswith(message)
    assert caught.value.status == 400


def test_decompression_bomb_is_refused_before_it_is_decoded() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    body = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    with pytest.raises(BadRequest) as caught:
        decode_image(body, GREY)
    assert str(caught.value) == f"picture too large (PNG): expected at most {MAX_PIXELS} pixels, found 60000 x 60000"
    assert caught.value.status == 413


# The kernel counts the most memory of a process's own address space; `ru_maxrss` begins with that of the parent.
PEAK = """
import struct, sys, zlib
from pathlib import Path
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.pixel_budget import MAX_PIXELS, PixelBudget
def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
depth, colour, row = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
packer = zlib.compressobj(1)
data = b"".join(packer.compress(bytes([0]) + bytes([77]) * row) for _ in range(5700)) + packer.flush()
header = chunk(b"IHDR", struct.pack(">IIBBBBB", 5600, 5700, depth, colour, 0, 0, 0))
body = bytes([137]) + b"PNG\\r\\n\\x1a\\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")
spec = InputSpec(name="x", dtype="uint8", shape=(3, 8, 8), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
def most():
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])
before = most()
pixels = decode_image(body, spec, PixelBudget(4 * MAX_PIXELS))  # 16 bits and transparency count as time
print(pixels.max(), (most() - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's count is read")
@pytest.mark.parametrize(
    ("depth", "colour", "row", "value"), [(8, 4, 5600 * 2, 23), (16, 0, 5600 * 2, 77), (8, 6, 5600 * 4, 23)]
)
def test_the_largest_picture_takes_no_more_than_itself_and_its_result(
    depth: int, colour: int, row: int, value: int
) -> None:
    command = [sys.executable, "-c", PEAK, str(depth), str(colour), str(row)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    largest, peak_mb = map(int, done.stdout.split())
    assert largest == value
    assert peak_mb < 8 * 32 + 40


@pytest.mark.parametrize("target", ["L", "RGB"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGB with a key", "CMYK", "I;16"])
def test_strips_are_the_whole_picture(mode: str, target: Any) -> None:
    width, height = 1501, 1403  # three strips
    colour = Image.fromarray(noise(height, width, 4), "RGBA")
    options: dict[str, Any] = {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"}
    match mode:
        case "I;16":
            grey = np.random.default_rng(1).integers(0, 65536, (height, width)).astype(np.uint16)
            body = encoded(Image.fromarray(grey), **options)
            expected = Image.fromarray((grey >> 8).astype(np.uint8))
        case "P" | "PA":
            stored = (colour if mode == "PA" else colour.convert("RGB")).quantize(32)
            body = encoded(stored, **options)
            expected = on_black(stored.convert("RGBA"))
        case "RGB with a key":
            body = encoded(colour.convert("RGB").quantize(8).convert("RGB"), transparency=(1, 2, 3), **options)
            expected = on_black(Image.open(io.BytesIO(body)).convert("RGBA"))
        case "CMYK":
            body = encoded(colour.convert("RGB").convert("CMYK"), "JPEG", **options)
            expected = Image.open(io.BytesIO(body)).convert("RGB")
        case _:
            stored = colour.convert(mode)
            body = encoded(stored, **options)
            expected = on_black(stored.convert("RGBA")) if "A" in mode else stored
    turned = expected.convert(target).transpose(Image.Transpose.ROTATE_270)
    shape = (1 if target == "L" else 3, width, height)
    spec = InputSpec(name="image", dtype="uint8", shape=shape, low=0, high=255, decoding=ImageDecoding(mode=target))
    wanted = np.asarray(turned).reshape(width, height, -1).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_image(body, spec), wanted)


def on_black(picture: Image.Image) -> Image.Image:
    return Image.alpha_composite(Image.new("RGBA", picture.size, (0, 0, 0, 255)), picture).convert("RGB")


def test_random_damage_never_gets_past_a_bad_request() -> None:
    generator = np.random.default_rng(0)
    for form in PICTURE_KINDS:
        picture = Image.fromarray(noise(12, 9, 3))
        whole = np.frombuffer(encoded(picture.quantize(9) if form == "GIF" else picture, form), dtype=np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            damaged[generator.integers(8, len(whole), 3)] = generator.integers(0, 256, 3, dtype=np.uint8)
            with contextlib.suppress(BadRequest):
                assert decode_image(damaged.tobytes(), COLOUR).shape == COLOUR.shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "float32"}, "input image: a picture of mode L is uint8 (1, height, width), found float32 (1, 6, 4)"),
        ({"shape": (3, 6, 4)}, "input image: a picture of mode L is uint8 (1, height, width), found uint8 (3, 6, 4)"),
        ({"shape": (1, 0, 4)}, "input image: shape: expected positive sizes, found (1, 0, 4)"),
        ({"low": 5, "high": 1}, "input image: expected low <= high, found 5 and 1"),
        (
            {"low": np.nan},
            "input image: expected bounds that are numbers, -inf and inf for none, found nan and 255; that",
        ),
        ({"missing": True}, "input image: missing: expected dtype float32, which has NaN, found uint8"),
        ({"dtype": "bool"}, "input image: dtype: expected one of"),
        ({"dynamic_axes": (3,)}, "input image: dynamic_axes: expected axes of (1, 6, 4), found (3,)"),
        ({"dynamic_axes": (1, 1)}, "input image: dynamic_axes: expected each axis once, found (1, 1)"),
        ({"dynamic_axes": (0,)}, "input image: dynamic_axes: expected height and width at most of a picture, found"),
        (
            {"dynamic_axes": (1, 2), "dynamic_sizes": ((1, 9),)},
            "input image: dynamic_sizes: expected one for each of dynamic_axes (1, 2), found ((1, 9),)",
        ),
        (
            {"dynamic_axes": (1, 2), "dynamic_sizes": (None, (5, 9))},
            "input image: dynamic_sizes of axis 2: expected (smallest, largest) from 1 on with the typical size 4",
        ),
        (
            {"dynamic_axes": (1, 2), "dynamic_sizes": (4, 9)},
            "input image: dynamic_sizes of axis 1: expected (smallest, largest) from 1 on with the typical size 6",
        ),
        ({"dynamic_axes": (1,), "dynamic_names": ("",)}, "input image: dynamic_names: expected names, found ('',)"),
    ],
)
def test_contradictory_specifications_are_refused(changes: dict[str, Any], message: str) -> None:
    fields: dict[str, Any] = {"name": "image", "dtype": "uint8", "shape": (1, 6, 4), "low": 0, "high": 255}
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        InputSpec(**{**fields, "decoding": ImageDecoding(mode="L"), **changes})
    assert str(caught.value).startswith(message)


def test_specification_survives_json() -> None:
    unbounded = InputSpec(name="x", dtype="float32", shape=(4, 2), low=-np.inf, high=np.inf, dynamic_axes=(1,))
    declared = replace(unbounded, dynamic_axes=(0, 1), dynamic_sizes=((1, 9), None), dynamic_names=("a", "b"))
    for spec in (GREY, COLOUR, unbounded, declared, replace(unbounded, missing=True)):
        assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert not {"dynamic_sizes", "dynamic_names", "missing", "occurs"} & set(unbounded.to_json()), (
        "as in archives made before there were any"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": "4"}, "input x: shape: expected a list of whole numbers, found '4'"),
        ({"shape": [4.7, 2]}, "input x: shape: expected a whole number from 1 to 2147483647, found 4.7"),
        ({"shape": [True, 2]}, "input x: shape: expected a whole number from 1 to 2147483647, found True"),
        ({"shape": [10**30, 2]}, "input x: shape: expected a whole number from 1 to 2147483647, found 1000"),
        ({"missing": "no"}, "input x: missing: expected true or false, found 'no'"),
        ({"low": "0"}, "input x: low: expected a number, found '0'"),
        ({"high": 10**400}, "input x: high: expected a number, found 1000"),
        ({"dynamic_axes": [0.5]}, "input x: dynamic_axes: expected a whole number from 0 to 2147483647, found 0.5"),
        ({"dynamic_axes": "1"}, "input x: dynamic_axes: expected a list of whole numbers, found '1'"),
        ({"dynamic_sizes": ["19"]}, "input x: dynamic_sizes: expected a list of whole numbers, found '19'"),
        ({"dynamic_sizes": [[1, 9, 9]]}, "input x: dynamic_sizes: expected the smallest and the largest size, found 3"),
        ({"dynamic_names": [5]}, "input 'x': name: expected text, found 5"),
        ({"name": 5}, "inputs: name: expected text, found 5"),
        ({"decoding": 5}, "input specification: TypeError: "),
        ({"more": 5}, "input specification: TypeError: "),
    ],
)
def test_what_a_description_says_of_an_input_is_checked(changes: dict[str, Any], message: str) -> None:
    spec = InputSpec(name="x", dtype="float32", shape=(4, 2), low=0, high=1, dynamic_axes=(1,))
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        InputSpec.from_json({**spec.to_json(), **changes})
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 250


def test_what_is_known_of_free_axes() -> None:
    spec = InputSpec(name="x", dtype="float32", shape=(4, 2), low=0, high=1, dynamic_axes=(0, 1))
    assert [spec.size_range(axis) for axis in (0, 1)] == [(1, None), (1, None)]
    assert [spec.size_name(axis) for axis in (0, 1)] == ["x axis 0", "x axis 1"]
    declared = replace(spec, dynamic_axes=(0,), dynamic_sizes=((2, 9),))
    assert (declared.size_range(0), declared.size_range(1)) == ((2, 9), (2, 2))
    assert declared.size_name(0) == "x"
    assert replace(declared, dynamic_names=("length",)).size_name(0) == "length"
