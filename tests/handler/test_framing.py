"""Pictures that are resized, then cropped or framed: the pixels are those of torchvision's and timm's transforms."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import numpy as np
import pytest
import torchvision.transforms as first_transforms
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms import InterpolationMode, v2

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline._handlers.framing import centre_offset, resized_size
from pipeline._handlers.limits import usual_pixels
from pipeline._handlers.pixel_budget import PixelBudget

FILTERS = ["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
# Widths and heights: wide, high, thin, tiny, and those whose halves are rounded up and down.
SIZES = [(61, 47), (47, 61), (90, 7), (3, 41), (1, 1), (32, 32), (33, 32), (31, 30), (2, 90), (57, 58)]
MEAN = (0.485, 0.456, 0.406)


def spec(height: int, width: int, **decoding: Any) -> InputSpec:
    form: dict[str, Any] = {"mode": "RGB", **decoding}
    shape = (1 if form["mode"] == "L" else 3, height, width)
    return InputSpec(name="image", dtype="uint8", shape=shape, low=0, high=255, decoding=ImageDecoding(**form))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8))


def png(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=0, **options)
    return buffer.getvalue()


def channels_first(picture: Any) -> NDArray[np.uint8]:
    return np.asarray(picture).transpose(2, 0, 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("transforms", [first_transforms, v2])
def test_shorter_side_and_centre_are_torchvisions(size: tuple[int, int], transforms: Any) -> None:
    picture = noise(*size)
    for number, (shorter, height, width) in enumerate(
        [(32, 28, 28), (30, 17, 30), (29, 24, 21), (16, 28, 28), (9, 4, 40)]
    ):
        name = FILTERS[number % len(FILTERS)]
        steps = [transforms.Resize(shorter, InterpolationMode(name)), transforms.CenterCrop((height, width))]
        expected = channels_first(transforms.Compose(steps)(picture))
        decoded = decode_image(png(picture), spec(height, width, resize=name, fit="crop", resize_to=(shorter, shorter)))
        np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_torchvisions(name: Any) -> None:
    for size in ((61, 47), (20, 23)):
        picture = noise(*size)
        steps = [v2.Resize(32, InterpolationMode(name)), v2.CenterCrop(28)]
        decoded = decode_image(png(picture), spec(28, 28, resize=name, fit="crop", resize_to=(32, 32)))
        np.testing.assert_array_equal(decoded, channels_first(v2.Compose(steps)(picture)))


@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize("share", [1.0, 0.875, 0.95, 0.5])
def test_centre_squash_and_border_are_timms(mode: str, share: float) -> None:
    factory = pytest.importorskip("timm.data.transforms_factory", reason="timm is not installed")
    fits = {"center": ("crop", (0,)), "squash": ("squeeze", (0,)), "border": ("letterbox", (124, 116, 104))}
    fit, fill = fits[mode]
    for number, (size, (height, width)) in enumerate([(size, side) for size in SIZES for side in ((28, 28), (21, 40))]):
        name, picture = FILTERS[number % len(FILTERS)], noise(*size)
        arguments = {"crop_pct": share, "crop_mode": mode, "interpolation": name, "mean": MEAN, "normalize": False}
        transform = factory.transforms_imagenet_eval((height, width), **arguments)
        resize_to = (math.floor(height / share), math.floor(width / share))
        decoded = decode_image(png(picture), spec(height, width, resize=name, fit=fit, resize_to=resize_to, fill=fill))
        try:
            expected = np.asarray(transform(picture))
        except ValueError:
            assert (mode, min(size)) == ("border", 2)  # no row is left of so thin a picture
            continue
        np.testing.assert_array_equal(decoded, expected)


# What timm 1.0.31 computes, for machines without it: width, height, wanted width and height, and the resized ones.
@pytest.mark.parametrize(
    ("size", "fit", "wanted", "expected"),
    [
        ((61, 47), "letterbox", (32, 32), (32, 25)),
        ((47, 61), "letterbox", (32, 32), (25, 32)),
        ((5, 2), "letterbox", (3, 3), (3, 1)),
        ((100, 50), "letterbox", (5, 5), (5, 2)),  # 2.5 is rounded to the even number
        ((100, 70), "letterbox", (5, 5), (5, 4)),  # and 3.5 too
        ((61, 47), "crop", (45, 24), (45, 35)),
        ((61, 47), "crop", (24, 45), (58, 45)),
        ((61, 47), "crop", (32, 32), (41, 32)),  # 41.53: the shorter side's rule cuts off
        ((61, 47), "squeeze", (24, 45), (24, 45)),
        ((5000, 1), "letterbox", (32, 32), (32, 1)),  # timm fails
    ],
)
def test_sizes_are_rounded_as_the_libraries_round(
    size: tuple[int, int], fit: Any, wanted: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert resized_size(size, fit, wanted) == expected


def test_offsets_are_rounded_as_the_libraries_round() -> None:
    assert [centre_offset(size, 10) for size in (10, 11, 12, 13, 15)] == [0, 0, 1, 2, 2]
    assert [centre_offset(size, 10) for size in (9, 8, 7, 5)] == [0, -1, -1, -2]


def test_a_border_has_the_colour_that_is_asked_for() -> None:
    decoded = decode_image(png(Image.new("RGB", (20, 10), (1, 2, 3))), spec(8, 8, fit="letterbox", fill=(9, 8, 7)))
    assert decoded[:, :2].tolist() == decoded[:, 6:].tolist() == [[[value] * 8] * 2 for value in (9, 8, 7)]
    assert decoded[:, 2:6].tolist() == [[[value] * 8] * 4 for value in (1, 2, 3)]
    grey = decode_image(png(Image.new("L", (20, 10), 5)), spec(8, 8, mode="L", fit="letterbox", fill=(200,)))
    assert set(grey[0, :2].ravel()) == {200}


def test_a_picture_is_turned_before_it_is_cropped() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = noise(60, 40)
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    form = spec(20, 11, fit="crop", resize_to=(24, 13))
    np.testing.assert_array_equal(decode_image(png(picture, exif=exif), form), decode_image(png(upright), form))


@pytest.mark.parametrize("size", [(100_000, 10), (10, 100_000), (1, 49_000)])
def test_a_long_and_thin_picture_takes_no_memory(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    form = spec(224, 224, fit="crop", resize_to=(256, 256))
    body = png(Image.new("1", size))
    monkeypatch.setattr(Image.Image, "resize", lambda *_: pytest.fail("it is resized"))
    with pytest.raises(
        BadRequest, match=r"picture too long and thin \(PNG\): expected at most 12582912 pixels"
    ) as caught:
        decode_image(body, form, PixelBudget(usual_pixels([form])))
    assert caught.value.status == 413
    assert "before its centre is taken" in caught.value.found


def test_a_long_picture_within_the_limit_is_cropped() -> None:
    form = spec(224, 224, fit="crop", resize_to=(256, 256))
    picture = Image.linear_gradient("L").resize((2000, 20)).convert("RGB")
    expected = v2.CenterCrop(224)(v2.Resize(256)(picture))
    decoded = decode_image(png(picture), form, PixelBudget(usual_pixels([form])))
    np.testing.assert_array_equal(decoded, channels_first(expected))


def test_what_lies_between_counts_among_the_pictures_of_a_request() -> None:
    form = spec(8, 8, fit="crop", resize_to=(100, 100))
    budget, body = PixelBudget(3 * 100 * 200), png(noise(20, 10))
    for _ in range(3):
        decode_image(body, form, budget)
    with pytest.raises(BadRequest, match="pictures of one request too large together"):
        decode_image(body, form, budget)


def test_a_large_input_takes_a_photo_of_its_own_size() -> None:
    form = spec(40, 40, fit="crop", resize_to=(44, 44))
    # It becomes 44 x 132: more pixels than the limit, and fewer than four times the input's.
    assert decode_image(png(noise(20, 60)), form, PixelBudget(64 * 64)).shape == (3, 40, 40)


def test_the_usual_fields_are_left_out_of_the_description() -> None:
    assert spec(8, 8).to_json()["decoding"] == {"mode": "RGB", "resize": "bilinear"}
    for form in (
        spec(8, 8),
        spec(8, 8, fit="crop", resize_to=[9, 9], resize="box"),
        spec(8, 8, fit="letterbox", fill=[1, 2, 3]),
        spec(8, 8, mode="L", resize_to=(9, 7)),
    ):
        assert InputSpec.from_json(json.loads(json.dumps(form.to_json()))) == form


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mode": "CMYK"}, "decoding: mode: expected one of ('L', 'RGB'), found 'CMYK'"),
        ({"resize": "linear"}, "decoding: resize: expected one of ('nearest', 'box', "),
        ({"fit": "pad"}, "decoding: fit: expected one of ('squeeze', 'crop', 'letterbox'), found 'pad'"),
        ({"resize_to": (1, 2, 3)}, "decoding: resize_to: expected height and width, found (1, 2, 3)"),
        ({"resize_to": (0, 2)}, "decoding: resize_to: expected a whole number from 1 to"),
        ({"resize_to": 256}, "decoding: resize_to: expected a list of whole numbers, found 256"),
        ({"fill": (256,)}, "decoding: fill: expected a whole number from 0 to 255, found 256"),
        ({"fill": (1, 2)}, "decoding: fill: expected a value, or one per channel of RGB, found (1, 2)"),
        ({"fill": ()}, "decoding: fill: expected a value, or one per channel of RGB, found ()"),
    ],
)
def test_wrong_fields_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        ImageDecoding(**{"mode": "RGB", **fields})
    assert str(caught.value).startswith(message)
    document = spec(8, 8).to_json()
    document["decoding"] = {"mode": "RGB", "resize": "bilinear", **fields}
    with pytest.raises(ValueError) as caught:  # noqa: PT011  the text is checked below
        InputSpec.from_json(document)
    assert str(caught.value).startswith(message)


def test_an_unknown_field_of_a_description_is_refused() -> None:
    document = spec(8, 8).to_json()
    document["decoding"]["crop"] = 3
    with pytest.raises(ValueError, match="input specification: TypeError"):
        InputSpec.from_json(document)
