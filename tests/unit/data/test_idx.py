"""The IDX parser reads whole contents and refuses broken ones."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.idx import parse
from pipeline.errors import DataError

IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6])
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 9])


def test_images_and_labels() -> None:
    assert np.array_equal(parse(IMAGES, "images"), [[[1, 2, 3]], [[4, 5, 6]]])
    assert np.array_equal(parse(LABELS, "labels"), [7, 9])


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_every_cut_is_refused(length: int) -> None:
    with pytest.raises(DataError, match="images: expected"):
        parse(IMAGES[:length], "images")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (IMAGES + b"\0", r"images: expected 22 bytes for shape \(2, 1, 3\), found 23"),
        (b"\x00\x00\x0d\x03" + IMAGES[4:], "expected IDX magic number 0x00000803 or 0x00000801, found 0x00000d03"),
        (LABELS[:4] + b"\xff\xff\xff\xff" + LABELS[8:], "expected 4294967303 bytes for shape"),
    ],
)
def test_other_contents_are_refused(content: bytes, text: str) -> None:
    with pytest.raises(DataError, match=text):
        parse(content, "images")
