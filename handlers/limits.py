"""How much one request may ask for, so that it takes the worker from nobody else for long."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from handlers.bad_request import BadRequest
from handlers.decode import InputSpec
from handlers.pixels import MAX_PIXELS

# Seconds; TorchServe ends a worker that has not answered after 60 (`responseTimeout`).
DEADLINE_S = 10.0
# A phone's photo of 4080 x 3072, or a laptop's screenshot of 3024 x 1964 with transparency. At 15 to 35 ns a pixel the
# worker is busy for less than half a second.
_USUAL_PIXELS = 3 << 22
# Of a model with a large input, whose own answer takes as long: so many times the input's pixels.
_TIMES_INPUT = 64


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one request may ask for.

    Args:
        pixels: most of its pictures together, in pixels as `handlers.pixels` counts them.
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
    def from_json(cls, document: Mapping[str, Any]) -> Limits:
        """The opposite of `to_json`.

        Raises:
            ValueError: a field is missing or wrong.
        """
        try:
            return cls(pixels=int(document["pixels"]), seconds=float(document["seconds"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"limits: expected pixels and seconds, found {document}") from error


def usual_pixels(inputs: Sequence[InputSpec]) -> int:
    """The limit on pixels where nobody sets one: that of a phone's photo, or more where an input is large itself."""
    sizes = [spec.shape[1] * spec.shape[2] for spec in inputs if spec.decoding is not None]
    return max(_USUAL_PIXELS, min(_TIMES_INPUT * max(sizes, default=1), MAX_PIXELS))


class Deadline:
    """The time for one call of the worker; it starts when this is made.

    One picture that is being decoded, and one call of the model, go on to their end: time is checked between them.

    Args:
        seconds: for all requests of the call.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def check(self, done: int = 0) -> None:
        """Stop where the time is over.

        Args:
            done: instances of the request that were done in time.

        Raises:
            BadRequest: with status 413 and how many instances the time is enough for, or 503 if for none.
        """
        if time.monotonic() < self._end:
            return
        if done:
            raise BadRequest(
                "more instances than are answered in time",
                expected=f"at most {done} of them in one request, as many as {self._seconds:g} s were enough for",
                found="more",
                status=413,
            )
        raise BadRequest(
            "no answer in time",
            expected=f"an answer within {self._seconds:g} s; ask again, with less in one request",
            found="none yet",
            status=503,
        )
