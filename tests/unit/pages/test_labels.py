"""Labels are placed next to their points and never overlap."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from pipeline.pages.labels import Box, place_labels

BOUNDS = Box(left=0, bottom=0, right=650, top=500)


def marker(x: float, y: float) -> Box:
    return Box(left=x - 5, bottom=y - 5, right=x + 5, top=y + 5)


def test_a_lone_label_stands_to_the_right() -> None:
    [box] = place_labels([(100, 100)], [(80, 10)], obstacles=[marker(100, 100)], avoided=[], bounds=BOUNDS, gap=8)
    assert box == Box(left=108, bottom=95, right=188, top=105)


def test_at_the_right_edge_it_stands_to_the_left() -> None:
    [box] = place_labels([(640, 100)], [(80, 10)], obstacles=[marker(640, 100)], avoided=[], bounds=BOUNDS, gap=8)
    assert box == Box(left=552, bottom=95, right=632, top=105)


def test_bars_are_avoided_where_there_is_room_beside_them() -> None:
    bar = Box(left=140, bottom=0, right=142, top=500)
    [box] = place_labels([(100, 100)], [(80, 10)], obstacles=[marker(100, 100)], avoided=[bar], bounds=BOUNDS, gap=8)
    assert box is not None
    assert not box.overlaps(bar)
    bars = [Box(left=x, bottom=0, right=x + 2, top=500) for x in range(0, 650, 40)]
    [box] = place_labels([(100, 100)], [(80, 10)], obstacles=[marker(100, 100)], avoided=bars, bounds=BOUNDS, gap=8)
    assert box == Box(left=108, bottom=95, right=188, top=105), "over a bar rather than nowhere"


def test_forty_crowded_labels_never_overlap() -> None:
    random = np.random.default_rng(3)
    points = [(float(x), float(y)) for x, y in random.normal((325, 250), (60, 40), (40, 2))]
    markers = [marker(x, y) for x, y in points]
    boxes = place_labels(points, [(150, 12)] * 40, obstacles=markers, avoided=[], bounds=BOUNDS, gap=8)
    placed = [box for box in boxes if box is not None]
    assert len(placed) > 10
    assert not any(first.overlaps(second) for first, second in combinations(placed, 2))
    assert not any(box.overlaps(obstacle) for box in placed for obstacle in markers)
    assert all(box.inside(BOUNDS) for box in placed)


def test_without_room_there_is_no_label() -> None:
    assert place_labels([(5, 5)], [(80, 10)], obstacles=[], avoided=[], bounds=marker(5, 5), gap=8) == (None,)
