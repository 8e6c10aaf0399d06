"""Pictures that are packed with a model: their pixels are torchvision's, and hold the decoder that serves to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline._handlers.golden_pictures import picture_difference, stored_pictures
from pipeline.archive import pictures as packed
from pipeline.archive.pictures import make_pictures
from pipeline.errors import ProofError


def spec(**decoding: Any) -> InputSpec:
    form = ImageDecoding(mode="RGB", **decoding)
    return InputSpec(name="image", dtype="uint8", shape=(3, 30, 24), low=0, high=255, decoding=form)


FORMS: list[dict[str, Any]] = [
    {},
    {"resize_to": (33, 29), "resize": "box"},
    {"fit": "crop", "resize_to": (36, 36), "resize": "bicubic"},
    {"fit": "crop", "resize_to": (20, 20)},
    {"fit": "crop", "resize_to": (35, 28), "resize": "lanczos"},
    {"fit": "crop"},
    {"fit": "letterbox", "fill": (1, 2, 3)},
    {"fit": "letterbox", "resize_to": (36, 29), "resize": "hamming"},
    {"fit": "letterbox", "resize_to": (16, 16), "fill": (200,)},
]


@pytest.mark.parametrize("form", FORMS)
def test_the_decoder_makes_the_pixels_of_torchvision(form: dict[str, Any]) -> None:
    content = make_pictures([spec(**form)])
    assert content is not None
    assert picture_difference(load(content), [spec(**form)]) == ""
    assert len(list(stored_pictures(load(content), [spec(**form)]))) == 2


@pytest.mark.parametrize("form", FORMS[1:])
def test_another_decoding_is_noticed(form: dict[str, Any]) -> None:
    content = make_pictures([spec(**form)])
    assert content is not None
    difference = picture_difference(load(content), [spec()])
    assert difference.startswith("input image, picture 0: expected the pixels packed with it, found ")


def test_a_fault_of_the_decoder_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline._handlers.framing.centre_offset", lambda size, result: (size - result) // 2 + 1)
    with pytest.raises(ProofError, match="the decoder that serves is at fault: nothing was packed"):
        make_pictures([spec(fit="crop", resize_to=(36, 36))])


def test_squeezed_pictures_are_pillows() -> None:
    content = make_pictures([spec()])
    assert content is not None
    _, _, _, pixels = next(stored_pictures(load(content), [spec()]))
    resized = packed._picture(47, 61, 3).resize((24, 30), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(pixels, np.asarray(resized).transpose(2, 0, 1))
