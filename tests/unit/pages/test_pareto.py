"""The picture of the trade-off names what it shows, and the same figures give the same bytes."""

from __future__ import annotations

import io
import re
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.front import Point
from pipeline.pages.pareto import draw_pareto

BUDGET = 0.01


def points(count: int) -> list[Point]:
    random = np.random.default_rng(count)
    candidates = []
    for place in range(count):
        cut = place / count
        drop, wide = 0.04 * cut**3, 0.002 * bool(place)
        candidates.append(
            Point(
                name="float.onnx.fp32" if place == 0 else f"slim{place}.onnx.int8",
                drop=drop,
                drop_low=drop - wide,
                drop_high=drop + wide,
                latency_ms=tuple(float(value) for value in (1 - 0.9 * cut) * random.uniform(0.99, 1.01, 9)),
                size=int(1e6 * (1 - 0.9 * cut)),
                allowed=drop + wide <= BUDGET and place % 3 != 2,
                overturns=drop + wide <= BUDGET and place % 3 == 2,
                selected=place == count // 2,
            )
        )
    return candidates


def draw(count: int, form: Literal["png", "svg"]) -> bytes:
    return draw_pareto(
        points(count),
        metric="accuracy",
        drop="accuracy against float",
        title="a recipe",
        why="best latency",
        budget=BUDGET,
        reference="float.onnx.fp32",
        form=form,
    )


def test_the_same_figures_give_the_same_bytes() -> None:
    first, second = draw(8, "svg"), draw(8, "svg")
    assert first == second
    # Texts are drawn as glyphs; each says in a comment what it reads.
    said = re.findall(r"<!-- (.*?) -->", first.decode())
    assert {point.name for point in points(8)} <= set(said)
    assert "chosen: slim4.onnx.int8 (best latency)" in said
    assert "size of the model file, kB" in said
    assert "refused for too many confident flips, whatever its drop" in said


@pytest.mark.parametrize("count", [1, 40])
def test_one_and_forty_can_be_drawn(count: int) -> None:
    picture = Image.open(io.BytesIO(draw(count, "png")))
    assert picture.size == (1430, 682)
