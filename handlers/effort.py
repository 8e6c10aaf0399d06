"""What one request may still take, while it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from .answer_size import AnswerRoom
from .limits import Deadline
from .pixel_budget import PixelBudget


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a request may still take.

    Args:
        pixels: of its pictures.
        room: in its answer; None for any.
        deadline: None for none.
        words: whether `true` or `false` may be in it.
    """

    pixels: PixelBudget
    room: AnswerRoom | None
    deadline: Deadline | None
    words: bool = True

    def check(self, done: int) -> None:
        """Stop before the next instance where there is no room for its answer, or no time."""
        if self.room is not None:
            self.room.require(done + 1)
        if self.deadline is not None:
            # Whatever was decoded is to be answered in the same time.
            self.deadline.check(done // 2, exact=False)
