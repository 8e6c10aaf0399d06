"""A sheet holds its pictures as they are, each in its place."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.sheet import Cell, draw_sheet, to_pixels


def drawn(content: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_small_pictures_are_enlarged_by_whole_factors_and_large_ones_reduced() -> None:
    small, large = np.array([[0, 255], [255, 0]], np.uint8), np.full((300, 600, 3), (200, 10, 10), np.uint8)
    cells = [Cell(pixels=small, lines=("right: a", "answer: b")), Cell(pixels=large, lines=())]
    content = draw_sheet(cells, title="worst", columns=6, width=150)
    assert content == draw_sheet(cells, title="worst", columns=6, width=150)
    sheet = drawn(content)
    left, top = 12, 40
    assert sheet[top + 10, left + 10].tolist() == [0, 0, 0]
    assert sheet[top + 10, left + 100].tolist() == [255, 255, 255]
    assert sheet[top + 100, left + 100].tolist() == [0, 0, 0]
    second = left + 150 + 12
    assert sheet[top + 30, second + 100].tolist() == [200, 10, 10]
    assert sheet[top + 80, second + 100].tolist() == [255, 255, 255], "it keeps its ratio of 2 to 1"


def test_pictures_go_on_in_the_next_row() -> None:
    cells = [Cell(pixels=np.zeros((8, 8), np.uint8), lines=("a line",)) for _ in range(5)]
    heights = [drawn(draw_sheet(cells[:count], title="t", columns=2, width=150)).shape[0] for count in range(6)]
    assert heights[0] < heights[1] == heights[2] < heights[3] == heights[4] < heights[5]


def test_a_long_text_and_one_with_control_characters_are_no_problem() -> None:
    cells = [Cell(pixels=np.zeros((8, 8), np.uint8), lines=("x" * 500, "a\x1b[31m\nb", ""))]
    assert drawn(draw_sheet(cells, title="y" * 500, columns=1, width=150)).shape[1] == 640


@pytest.mark.parametrize(
    ("values", "low", "high", "pixels"),
    [
        ([[[0, 255]]], 0, 255, [[0, 255]]),
        ([[[0.0, 0.5, 1.0]]], 0, 1, [[0, 128, 255]]),
        ([[[-3.0, 1.0]]], -math.inf, math.inf, [[0, 255]]),
        ([[[7.0, 7.0]]], -math.inf, math.inf, [[0, 0]]),
        ([[[math.nan, 1.0]]], 0, 1, [[0, 255]]),
        ([[[0.0]], [[1.0]]], 0, 1, [[128]]),
        ([[[0]], [[128]], [[255]]], 0, 255, [[[0, 128, 255]]]),
    ],
)
def test_inputs_become_pixels(values: list[object], low: float, high: float, pixels: list[object]) -> None:
    assert to_pixels(np.array(values), low=low, high=high).tolist() == pixels
