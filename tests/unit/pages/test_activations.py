"""An activation of any shape becomes a picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.activations import draw_activation

SHAPES = [(), (1,), (10,), (5000,), (0,), (4, 6), (3, 4, 6), (100, 4, 6), (2, 3, 4, 6), (3, 0, 6)]


@pytest.mark.parametrize("shape", SHAPES)
def test_any_shape_is_drawn_the_same_each_time(shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    content = draw_activation(values, title="conv1")
    assert content == draw_activation(values, title="conv1")
    assert Image.open(io.BytesIO(content)).width <= 1400


def test_one_scale_holds_for_all_channels() -> None:
    values = np.stack([np.full((2, 2), value) for value in (0.0, 4.0, -4.0)])
    pixels = np.asarray(Image.open(io.BytesIO(draw_activation(values, title="conv1"))))
    places = [pixels[60, 12 + 60 + number * 144].tolist() for number in range(3)]
    assert places == [[255, 255, 255], [178, 24, 43], [33, 102, 172]]


def test_values_that_are_no_numbers_end_nothing() -> None:
    draw_activation(np.array([np.nan, np.inf, -1.0], np.float32), title="norm")
    draw_activation(np.full((2, 3, 3), np.nan), title="norm")
