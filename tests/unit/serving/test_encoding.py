"""Examples on their way to a server."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import ImageDecoding, decode_image
from pipeline.serving.encoding import encode_instances, picture_file
from tests.served_models import GREY, TABLE


def test_missing_values_cross_json_as_null() -> None:
    gaps = replace(TABLE, missing=True)
    rows = np.array([[0.1, np.nan, -2, 1], [np.nan] * 4, [1, 2, 0, 0.3]], dtype=np.float32)
    body = encode_instances([gaps], {"features": rows})
    assert json.loads(body)["instances"][1] == [None] * 4
    assert b"NaN" not in body
    instances = decode_request(body, "application/json", [gaps]).instances
    np.testing.assert_array_equal(np.stack([instance["features"] for instance in instances]), rows)
    images = {"image": np.zeros((1, 1, 8, 6), dtype=np.uint8)}
    both = encode_instances([GREY, gaps], {**images, "features": rows[:1]})
    assert np.isnan(decode_request(both, "application/json", [GREY, gaps]).instances[0]["features"][1])


@pytest.mark.parametrize(
    "form",
    [
        ImageDecoding(mode="L"),
        ImageDecoding(mode="L", resize_to=(9, 8)),
        ImageDecoding(mode="L", fit="crop", resize_to=(12, 12), resize="bicubic"),
        ImageDecoding(mode="L", fit="crop", resize_to=(7, 7)),
        ImageDecoding(mode="L", fit="crop", resize_to=(9, 7)),
        ImageDecoding(mode="L", fit="letterbox", fill=(9,)),
        ImageDecoding(mode="L", fit="letterbox", resize_to=(11, 6)),
    ],
)
def test_a_picture_file_decodes_to_the_pixels_that_it_was_made_of(form: ImageDecoding) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, GREY.shape, dtype=np.uint8)
    body = picture_file(pixels, form)
    assert body is not None
    np.testing.assert_array_equal(decode_image(body, replace(GREY, decoding=form)), pixels)


def test_no_picture_file_decodes_to_pixels_that_are_partly_border() -> None:
    for form in (ImageDecoding(mode="L", fit="crop", resize_to=(5, 5)), ImageDecoding(mode="L", resize_to=(7, 6))):
        assert picture_file(np.zeros(GREY.shape, dtype=np.uint8), form) is None
