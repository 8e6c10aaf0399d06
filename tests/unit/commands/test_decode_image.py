"""A picture becomes an input as it does in the server; what is refused there is an error of this package here."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pipeline
from pipeline._handlers.decode import decode_image as served
from tests.served_models import COLOUR, GREY, TABLE


def png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="PNG")
    return stream.getvalue()


@pytest.mark.parametrize("spec", [GREY, COLOUR])
def test_a_file_and_its_bytes_become_what_the_server_sees(tmp_path: Path, spec: pipeline.InputSpec) -> None:
    file = tmp_path / "picture.png"
    file.write_bytes(png())
    expected = served(png(), spec)
    assert expected.shape == spec.shape
    for picture in (png(), file, str(file)):
        np.testing.assert_array_equal(pipeline.decode_image(picture, spec), expected)


def test_what_is_refused_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "text.png"
    file.write_bytes(b"no picture")
    with pytest.raises(pipeline.UsageError, match=r"text\.png: input image: not a picture: expected a PNG, JPEG"):
        pipeline.decode_image(file, GREY)
    with pytest.raises(pipeline.UsageError, match=r"^picture: input image: not a picture"):
        pipeline.decode_image(b"no picture", GREY)
    with pytest.raises(pipeline.FileError, match=r"none\.png: expected a readable file, found: No such file"):
        pipeline.decode_image(tmp_path / "none.png", GREY)
    with pytest.raises(pipeline.UsageError, match=r"input features: expected one with decoding, found none"):
        pipeline.decode_image(png(), TABLE)
