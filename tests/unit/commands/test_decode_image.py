"""A picture becomes an input as it does in the server; what is refused there is an error of this package here."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision.transforms.v2 import CenterCrop, Compose, Resize

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


def test_the_pages_example_gives_the_pixels_of_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "own-model.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^```python decode.py\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "photo.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)  # noqa: S102 - the page's own words
    expected = Compose([Resize(256), CenterCrop(224)])(Image.open(io.BytesIO(png())))
    np.testing.assert_array_equal(names["pixels"], np.asarray(expected).transpose(2, 0, 1))
