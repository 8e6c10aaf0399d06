"""The table of picture kinds: what it says of each is true, and what a person reads names each."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request, form_of
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.picture_kinds import PICTURE_FILE, PICTURE_KINDS, PictureKindName, describe_bytes, picture_kind
from pipeline.cli import app
from tests.served_models import GREY

COLOUR = InputSpec(name="image", dtype="uint8", shape=(3, 12, 9), low=0, high=255, decoding=ImageDecoding(mode="RGB"))
# Options with which a kind keeps every value; JPEG has none.
EXACT: dict[PictureKindName, dict[str, Any]] = {
    "PNG": {},
    "WebP": {"lossless": True, "exact": True},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
}


def picture_file(name: PictureKindName) -> bytes:
    return encoded(Image.new("L", (6, 8), 77), name)


def encoded(picture: Image.Image, name: PictureKindName, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=name, **options)
    return buffer.getvalue()


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", PICTURE_KINDS)
def test_a_file_that_pillow_wrote_is_of_its_kind(name: PictureKindName) -> None:
    body, kind = picture_file(name), PICTURE_KINDS[name]
    assert (picture_kind(body), picture_kind(bytearray(body)), picture_kind(body[1:])) == (name, name, None)
    assert kind.media_type == Image.MIME[name.upper()]
    assert kind.count_scans(body) == 1
    assert kind.open(io.BytesIO(body)).format == name.upper()
    np.testing.assert_array_equal(decode_image(body, GREY), np.full(GREY.shape, 77))


@pytest.mark.parametrize("name", PICTURE_KINDS)
@pytest.mark.parametrize("media", ["", "image/anything", "application/x-www-form-urlencoded", "text/plain"])
def test_a_file_is_a_picture_whatever_its_type_is_called(name: PictureKindName, media: str) -> None:
    assert form_of(picture_file(name), media, [GREY]) == "picture"


@pytest.mark.parametrize("name", EXACT)
def test_a_request_holds_a_file_of_any_kind_as_it_is_or_in_json(name: PictureKindName) -> None:
    body = encoded(Image.fromarray(noise(8, 6)), name, **EXACT[name])
    listed = json.dumps({"instances": [{"b64": base64.b64encode(body).decode()}]}).encode()
    for request in (decode_request(body, Image.MIME[name.upper()], [GREY]), decode_request(listed, "", [GREY])):
        np.testing.assert_array_equal(request.instances[0]["image"][0], noise(8, 6))


@pytest.mark.parametrize("name", PICTURE_KINDS)
def test_a_file_as_text_is_told_as_that(name: PictureKindName) -> None:
    text = base64.b64encode(picture_file(name))
    for start in (b"", b" ", b"data:image/any;base64,"):
        assert describe_bytes(start + text) == "a picture as text (base64); send the file's bytes as they are"


def test_messages_and_help_name_every_kind() -> None:
    assert PICTURE_FILE == "a PNG, JPEG, WebP, GIF, BMP or TIFF file"
    shown = CliRunner().invoke(app, ["predict", "--help"]).stdout
    assert all(name in shown for name in PICTURE_KINDS)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
def test_every_kind_gives_the_pixels_of_png(name: PictureKindName, mode: str) -> None:
    picture = Image.fromarray(noise(12, 9, 3)).quantize(200) if mode == "P" else Image.fromarray(noise(12, 9, 3))
    if name == "GIF" and mode == "RGB":
        picture = picture.quantize(256)
    picture = picture if mode == "P" or picture.mode == "P" else picture.convert(mode)
    body = encoded(picture, name, **EXACT[name])
    np.testing.assert_array_equal(decode_image(body, COLOUR), decode_image(encoded(picture, "PNG"), COLOUR))


@pytest.mark.parametrize("name", ["WebP", "GIF", "TIFF"])
def test_what_is_transparent_is_black(name: PictureKindName) -> None:
    pixels = noise(12, 9, 4) | 1
    pixels[..., 3] = 255
    pixels[3:7, :5, 3] = 0
    pixels[:, :, :3] //= 64  # few enough colours for a palette
    picture = Image.fromarray(pixels)
    expected = pixels[..., :3] * (pixels[..., 3:] > 0)
    if name == "GIF":
        colours = picture.convert("RGB").quantize(64)
        index = np.asarray(colours).copy()
        index[3:7, :5] = 64
        colours.putdata(index.ravel().tolist())
        body = encoded(colours, name, transparency=64)
        expected = np.asarray(colours.convert("RGB")) * (pixels[..., 3:] > 0)
    else:
        body = encoded(picture, name, **EXACT[name])
    np.testing.assert_array_equal(decode_image(body, COLOUR), expected.transpose(2, 0, 1))


@pytest.mark.parametrize("name", ["WebP", "GIF"])
def test_of_an_animation_the_first_frame_is_taken(name: PictureKindName) -> None:
    first, others = Image.fromarray(noise(12, 9)), [Image.fromarray(255 - noise(12, 9)), Image.new("L", (9, 12), 7)]
    body = encoded(first, name, save_all=True, append_images=others, duration=50, **EXACT[name])
    assert getattr(Image.open(io.BytesIO(body)), "n_frames", 1) == 3
    np.testing.assert_array_equal(decode_image(body, COLOUR), np.stack([noise(12, 9)] * 3))


@pytest.mark.parametrize("name", EXACT)
def test_a_file_that_is_cut_is_refused(name: PictureKindName) -> None:
    picture = Image.fromarray(noise(40, 30, 3))
    body = encoded(picture.quantize(256) if name == "GIF" else picture, name, **EXACT[name])
    for length in (20, 40, len(body) // 2):
        with pytest.raises(
            BadRequest, match=rf"^{name} file cannot be decoded: expected a whole {name} file"
        ) as caught:
            decode_image(body[:length], COLOUR)
        assert caught.value.status == 400


@pytest.mark.parametrize("name", PICTURE_KINDS)
def test_files_larger_than_the_limit_are_refused_before_they_are_decoded(name: PictureKindName) -> None:
    large = Image.new("1", (6000, 6000))
    body = encoded(large.convert("L") if name in ("JPEG", "WebP", "GIF") else large, name)
    with pytest.raises(BadRequest, match=rf"^picture too large \({name}\): expected at most \d+ pixels") as caught:
        decode_image(body, COLOUR)
    assert caught.value.status == 413
