"""The code of the report for a picture of one's own makes of it what the server makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline.commands.report_page.own_example import own_example
from pipeline.serving.encoding import encode_png
from tests.served_models import description

EXACT = (
    ImageDecoding(mode="RGB", resize="bicubic"),
    ImageDecoding(mode="L", resize="nearest"),
    ImageDecoding(mode="RGB", fit="squeeze", resize_to=(24, 28)),
    ImageDecoding(mode="RGB", fit="crop", resize_to=(25, 25)),
    ImageDecoding(mode="L", fit="crop", resize_to=(30, 23)),
    ImageDecoding(mode="RGB", fit="crop"),
    ImageDecoding(mode="RGB", fit="letterbox", fill=(10, 20, 30)),
    ImageDecoding(mode="L", fit="letterbox", fill=(7,)),
)
OTHER = (
    ImageDecoding(mode="RGB", fit="squeeze", resize_to=(10, 40)),
    ImageDecoding(mode="RGB", fit="letterbox", resize_to=(40, 40)),
)


def spec_of(decoding: ImageDecoding) -> InputSpec:
    channels = 1 if decoding.mode == "L" else 3
    return InputSpec(name="image", dtype="uint8", shape=(channels, 20, 22), low=0, high=255, decoding=decoding)


def picture(height: int, width: int, seed: int) -> bytes:
    """A PNG file in which each pixel has a value of its own, so that no two ways of resizing give the same."""
    return encode_png(np.random.default_rng(seed).integers(0, 256, (3, height, width)).astype(np.uint8))


@pytest.mark.parametrize("decoding", EXACT)
@pytest.mark.parametrize(("height", "width"), [(60, 41), (41, 60), (20, 22), (9, 30), (50, 50)])
def test_the_code_gives_the_pixels_that_the_server_gives(
    decoding: ImageDecoding, height: int, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, body = spec_of(decoding), picture(height, width, height)
    snippet = own_example(description([spec]))
    assert "serving.json" not in snippet.text
    (tmp_path / "picture.png").write_bytes(body)
    monkeypatch.chdir(tmp_path)
    asked, _, _ = snippet.code.partition("answers = ")
    names: dict[str, Any] = {}
    exec(asked, names)  # noqa: S102 - the code of the page
    values: NDArray[np.uint8] = names["values"]
    assert values.dtype == np.uint8
    np.testing.assert_array_equal(values[0], decode_image(body, spec))


@pytest.mark.parametrize("decoding", OTHER)
def test_where_the_code_does_not_frame_as_the_server_it_says_so(decoding: ImageDecoding) -> None:
    snippet = own_example(description([spec_of(decoding)]))
    assert "# the server frames it otherwise" in snippet.code
    assert "`decoding` in serving.json says how the server resizes a picture" in snippet.text


def test_two_pictures_have_a_file_each_and_large_numbers_are_written_out() -> None:
    spec = spec_of(EXACT[0])
    number = InputSpec(name="code", dtype="int64", shape=(2,), low=0, high=1048575)
    serving = description([spec, replace(spec, name="second"), number])
    snippet = own_example(serving)
    assert '"picture.png"' in snippet.code
    assert '"picture2.png"' in snippet.code
    assert "values from 0 to 1048575." in snippet.text
