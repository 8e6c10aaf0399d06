"""A confusion matrix shows right answers in blue and wrong ones in orange."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.confusion import draw_confusion


def test_the_same_figures_give_the_same_picture_and_wrong_answers_are_seen() -> None:
    matrix, names = [[90, 10], [0, 50]], ("cat", "dog")
    content = draw_confusion(matrix, names, title="m on validation")
    assert content == draw_confusion(matrix, names, title="m on validation")
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
    blue = pixels[..., 2] - pixels[..., 0] > 40
    orange = pixels[..., 0] - pixels[..., 2] > 40
    assert blue.sum() > 2 * orange.sum() > 1000
    other = draw_confusion([[100, 0], [0, 50]], names, title="m on validation")
    assert not (np.asarray(Image.open(io.BytesIO(other)).convert("RGB")).astype(int) @ [1, 0, -1] > 40).any()


@pytest.mark.parametrize("classes", [1, 12, 13, 30, 100])
def test_any_number_of_classes_fits(classes: int) -> None:
    names = [f"class with a rather long name, number {number}" for number in range(classes)]
    picture = Image.open(io.BytesIO(draw_confusion(np.eye(classes, dtype=int).tolist(), names, title="t")))
    assert 400 < picture.width < 1500
    assert picture.height < 1500


def test_a_class_without_examples_has_an_empty_row() -> None:
    assert draw_confusion([[0, 0], [0, 5]], ("cat", "dog"), title="t").startswith(b"\x89PNG")
