"""How much one request may ask for, so that it takes the worker from nobody else for long."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .bad_request import BadRequest
from .decode import InputSpec
from .description_checks import checked_count, checked_number
from .pixel_budget import MAX_PIXELS

# Seconds; TorchServe ends a worker that has not answered after 60 (`responseTimeout`).
DEADLINE_S = 10.0
# What a recipe may set (`package.max_pixels` and `package.deadline_s`).
_MOST_PIXELS, _MOST_SECONDS = 1 << 28, 30.0
# A phone's photo of 4080 x 3072, or a laptop's screenshot of 3024 x 1964 with transparency. At 15 to 35 ns a pixel the
# worker is busy for less than half a second.
_USUAL_PIXELS = 3 << 22
# Of a model with a large input, whose own answer takes as long: so many times the input's pixels.
_TIMES_INPUT = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for.

    Args:
        pixels: most of its pictures together, in pixels as `handlers.pixel_budget` counts them.
        seconds: longest time for the requests that a worker is handed at once.
    """

    pixels: int
    seconds: float = DEADLINE_S

    def __post_init__(self) -> None:
        if not (self.pixels >= 1 and self.seconds > 0):
            raise ValueError(f"limits: expected positive numbers, found {self.pixels} pixels and {self.seconds} s")

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"pixels": self.pixels, "seconds": self.seconds}

    @classmethod
    def from_json(cls, document: object) -> Limits:
        """The opposite of `to_json`.

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
    """The limit on pixels where nobody sets one: that of a phone's photo, or more where an input is large itself."""
    sizes = [spec.shape[1] * spec.shape[2] for spec in inputs if spec.decoding is not None]
    return max(_USUAL_PIXELS, min(_TIMES_INPUT * max(sizes, default=1), MAX_PIXELS))


class Deadline:
    """The time for some work; it starts when this is made.

    One picture that is being decoded, and one call of the model, go on to their end: time is checked between them.

    Args:
        seconds: for the work.
        whole: seconds that several pieces of work share; those of this one if not given.
    """

    def __init__(self, seconds: float, whole: float | None = None) -> None:
        self._seconds = seconds
        self._whole = seconds if whole is None else whole
        self._end = time.monotonic() + seconds

    def share(self, others: int) -> Deadline:
        """The time for the next one of several pieces of work: an equal part of what is left, from now on.

        Args:
            others: pieces of work that come behind it, and share what it leaves.
        """
        return Deadline(max(0.0, self._end - time.monotonic()) / (others + 1), self._whole)

    def check(self, done: int = 0, *, exact: bool = True) -> None:
        """Stop where the time is over.

        Args:
            done: instances of the request that were done in time.
            exact: whether their number is known, not guessed from one half of the work.

        Raises:
            BadRequest: with status 413 and how many instances the time is enough for, or 503 if for none.
        """
        if time.monotonic() < self._end:
            return
        if done:
            enough = f"{self._seconds:.3g} s were enough"
            raise BadRequest(
                "more instances than are answered in time",
                expected=f"at most {done} of them in one request, as many as {enough} for"
                if exact
                else f"about {done} of them in one request, half as many as {enough} to decode",
                found="more",
                status=413,
            )
        raise BadRequest(
            "no answer in time",
            expected=f"an answer within {self._whole:g} s; ask again, with less in one request",
            found="none yet",
            status=503,
        )
