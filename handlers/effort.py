"""The resources that one request may still use while it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from .answer_size import AnswerRoom
from .limits import Deadline
from .pixel_budget import PixelBudget


# Frozen objects take four times as long to make, and each request needs one.
@dataclass(slots=True, kw_only=True)
class Effort:
    """The resources that a request may still use.

    Args:
        pixels: budget for the pixels of its pictures.
        room: room in its answer; None for no limit.
        deadline: time for it; None for no limit.
        words: whether `true` or `false` may occur in its text.
    """

    pixels: PixelBudget
    room: AnswerRoom | None
    deadline: Deadline | None
    words: bool = True

    def check(self, instances: int) -> None:
        """Stop before the next instance where there is no room for its answer, or no time.

        Args:
            instances: number of instances that are decoded already.
        """
        if self.room is not None:
            self.room.require(instances + 1)
        if self.deadline is not None:
            # The same time must be enough to answer the instances too, so only half of them count.
            self.deadline.check(instances // 2, exact=False)
