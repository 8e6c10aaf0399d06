"""The table of picture kinds: what it says of each is true, and what a person reads names each."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from pipeline._handlers.decode import decode_image
from pipeline._handlers.picture_kinds import PICTURE_FILE, PICTURE_KINDS, PictureKindName, describe_bytes, picture_kind
from pipeline.cli import app
from tests.served_models import GREY


def picture_file(name: PictureKindName) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 8), 77).save(buffer, format=name)
    return buffer.getvalue()


@pytest.mark.parametrize("name", PICTURE_KINDS)
def test_a_file_that_pillow_wrote_is_of_its_kind(name: PictureKindName) -> None:
    body, kind = picture_file(name), PICTURE_KINDS[name]
    assert (picture_kind(body), picture_kind(bytearray(body)), picture_kind(body[1:])) == (name, name, None)
    assert kind.media_type == Image.MIME[name]
    assert kind.count_scans(body) == 1
    assert kind.open(io.BytesIO(body)).format == name
    np.testing.assert_array_equal(decode_image(body, GREY), np.full(GREY.shape, 77))


@pytest.mark.parametrize("name", PICTURE_KINDS)
def test_a_file_as_text_is_told_as_that(name: PictureKindName) -> None:
    text = base64.b64encode(picture_file(name))
    assert text.startswith(PICTURE_KINDS[name].base64_start)
    assert describe_bytes(b" " + text) == "a picture as text (base64); send the file's bytes as they are"


def test_messages_and_help_name_every_kind() -> None:
    assert PICTURE_FILE == "a PNG or JPEG file"
    shown = CliRunner().invoke(app, ["predict", "--help"]).stdout
    assert all(name in shown for name in PICTURE_KINDS)
