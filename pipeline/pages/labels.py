"""Where labels go: next to what they name, over nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# Around the point: right, left, above, below, then between; the first that is free is taken, the nearest ring first.
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

    def overlaps(self, other: Box) -> bool:
        """Whether they share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        """Whether all of it is in the other one."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


def place_labels(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    obstacles: Sequence[Box],
    avoided: Sequence[Box],
    bounds: Box,
    gap: float,
) -> tuple[Box | None, ...]:
    """Find a free place for each label, in the order given.

    Args:
        points: what is labelled, in pixels.
        sizes: width and height of the labels.
        obstacles: what may not be covered: the markers.
        avoided: what is covered rather than going far away: their bars.
        bounds: labels stay inside.
        gap: between a point and the nearest label, in pixels.

    Returns:
        A box per label, none over another; None where there is no room.
    """
    taken = list(obstacles)
    found: list[Box | None] = []
    for point, size in zip(points, sizes, strict=True):
        box = next(
            (
                candidate
                for rings, others in ((_NEAR, (*taken, *avoided)), (_NEAR, taken), (_FAR, taken))
                for ring in rings
                for direction in _DIRECTIONS
                if (candidate := _beside(point, size, direction, ring * gap)).inside(bounds)
                and not any(candidate.overlaps(other) for other in others)
            ),
            None,
        )
        found.append(box)
        if box is not None:
            taken.append(box)
    return tuple(found)


def _beside(point: tuple[float, float], size: tuple[float, float], direction: tuple[int, int], distance: float) -> Box:
    """The label's box in one direction: its nearest edge or corner at the distance from the point."""
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
