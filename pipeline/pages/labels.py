"""Place labels next to what they name, and over nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Places around the point: right, left, above, below, then between. The first free one counts, the nearest ring first.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1), (2, 1), (2, -1), (-2, 1), (-2, -1))
_NEAR = (1.0, 1.5, 2.0, 3.0, 4.0)
_FAR = (5.0, 7.0, 9.0)


@dataclass(frozen=True, kw_only=True)
class Box:
    """A rectangle, in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, box: Box) -> bool:
        """Whether both share more than an edge."""
        return self.left < box.right and box.left < self.right and self.bottom < box.top and box.bottom < self.top

    def inside(self, box: Box) -> bool:
        """Whether all of it lies in the other box."""
        return self.left >= box.left and self.right <= box.right and self.bottom >= box.bottom and self.top <= box.top


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    obstacles: Sequence[Box],
    avoided: Sequence[Box],
    bounds: Box,
    gap: float,
) -> tuple[Box | None, ...]:
    """Find a free place for each label, in the order of the points.

    Args:
        points: points to label, in pixels.
        sizes: width and height of the labels, in pixels.
        obstacles: boxes that may not be covered: the markers.
        avoided: boxes that are covered only where the label would be far away otherwise: the bars of the markers.
        bounds: box inside which labels stay.
        gap: distance between a point and the nearest label, in pixels.

    Returns:
        A box per label, none over another; None where there is no room.
    """
    taken = list(obstacles)
    boxes: list[Box | None] = []
    for point, size in zip(points, sizes, strict=True):
        box = next(
            (
                candidate
                for rings, blockers in ((_NEAR, (*taken, *avoided)), (_NEAR, taken), (_FAR, taken))
                for ring in rings
                for direction in _DIRECTIONS
                if (candidate := _beside(point, size, direction, ring * gap)).inside(bounds)
                and not any(candidate.overlaps(blocker) for blocker in blockers)
            ),
            None,
        )
        boxes.append(box)
        if box is not None:
            taken.append(box)
    return tuple(boxes)


def _beside(point: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], distance: float) -> Box:
    """The label's box in one direction, with its nearest edge or corner at that distance from the point."""
    (x, y), (width, height), (across, up) = point, size, direction
    length = math.hypot(across, up)
    middle_x = x + across / length * distance + _sign(across) * width / 2
    middle_y = y + up / length * distance + _sign(up) * height / 2
    return Box(
        left=middle_x - width / 2,
        bottom=middle_y - height / 2,
        right=middle_x + width / 2,
        top=middle_y + height / 2,
    )


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)
