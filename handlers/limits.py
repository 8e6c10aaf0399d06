"""Limits on what one request may ask for, so that it keeps the worker from no other client for long."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .bad_request import BadRequest
from .decode import InputSpec
from .description_checks import checked_count, checked_number
from .pixel_budget import MAX_PIXELS

# Default time for an answer, in seconds. TorchServe ends a worker that has not answered after 60 (`responseTimeout`).
DEADLINE_S = 10.0
# Largest values that a recipe may set (`package.max_pixels` and `package.deadline_s`).
_MOST_PIXELS, _MOST_SECONDS = 1 << 28, 30.0
# Usual limit on pixels. A phone's photo of 4080 x 3072 is within it, and so is a laptop's screenshot of 3024 x 1964
# with transparency. At 15 to 35 ns a pixel the worker is busy for less than half a second.
_USUAL_PIXELS = 3 << 22
# Limit on pixels as a multiple of the input's own pixels, for a model with a large input. Its own answer takes as long.
_TIMES_INPUT = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on what one request may ask for.

    Args:
        pixels: largest number of pixels of all its pictures together, as `handlers.pixel_budget` counts them.
        seconds: longest time for the requests that a worker gets together.
    """

    pixels: int
    seconds: float = DEADLINE_S

    def __post_init__(self) -> None:
        if not (self.pixels >= 1 and self.seconds > 0):
            raise ValueError(f"limits: expected positive numbers, found {self.pixels} pixels and {self.seconds} s")

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {"pixels": self.pixels, "seconds": self.seconds}

    @classmethod
    def from_json(cls, document: object) -> Limits:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing or wrong.
        """
        if not isinstance(document, Mapping) or set(document) != {"pixels", "seconds"}:
            raise ValueError("limits: expected an object of pixels and seconds, found something else")
        return cls(
            pixels=checked_count(document["pixels"], "limits: pixels", most=_MOST_PIXELS),
            seconds=checked_number(document["seconds"], "limits: seconds", above=0.0, most=_MOST_SECONDS),
        )


def usual_pixels(inputs: Sequence[InputSpec]) -> int:
    """Return the limit on pixels where nobody sets one: a phone's photo fits, or more if an input is large."""
    sizes = [spec.shape[1] * spec.shape[2] for spec in inputs if spec.decoding is not None]
    return max(_USUAL_PIXELS, min(_TIMES_INPUT * max(sizes, default=1), MAX_PIXELS))


class OutOfTime(BadRequest):
    """The time for a request, or for its share of several, is over."""


class Deadline:
    """The time for some work; it starts when this object is made.

    The decoding of one picture, and one call of the model, are never interrupted: time is checked between them.

    Args:
        seconds: time for the work, in seconds.
        whole: time that several pieces of work share, in seconds; by default, the same as `seconds`.
    """

    __slots__ = ("_end", "_seconds", "_whole")

    def __init__(self, seconds: float, whole: float | None = None) -> None:
        self._seconds = seconds
        self._whole = seconds if whole is None else whole
        self._end = time.monotonic() + seconds

    def share(self, others: int) -> Deadline:
        """Start the time for the next one of several pieces of work: an equal part of the time that is left.

        Args:
            others: number of pieces of work that come after it, and share the rest.
        """
        return Deadline(max(0.0, self._end - time.monotonic()) / (others + 1), self._whole)

    def check(self, instances: int = 0, *, exact: bool = True) -> None:
        """Stop where the time is over.

        Args:
            instances: number of instances of the request that were finished in time.
            exact: whether this number was counted, not estimated from one half of the work.

        Raises:
            OutOfTime: the time is over; the status is 413, and the text says for how many instances the time is
                enough, or the status is 503 if it is enough for none.
        """
        if time.monotonic() < self._end:
            return
        if instances:
            enough = f"{self._seconds:.3g} s were enough"
            raise OutOfTime(
                "more instances than are answered in time",
                expected=f"at most {instances} of them in one request, as many as {enough} for"
                if exact
                else f"about {instances} of them in one request, half as many as {enough} to decode",
                found="more",
                status=413,
            )
        raise OutOfTime(
            "no answer in time",
            expected=f"an answer within {self._whole:g} s; ask again, with less in one request",
            found="none yet",
            status=503,
        )
