"""What a client is told when its request is not answered."""

from __future__ import annotations

# In characters. What a client sent is repeated to it up to here, wherever it is repeated at all: a text of megabytes
# in a request would otherwise come back in its answer, and TorchServe ends a worker whose answer is too large.
MAX_FOUND = 200
# Our own words, and what is said of the model's inputs.
_MAX_EXPECTED = 4000


class BadRequest(Exception):  # noqa: N818 - HTTP's name for it
    """The client's fault, as one line.

    Args:
        error: what is wrong.
        expected: what would have been right.
        found: what was there instead; cut to `MAX_FOUND` characters.
        status: the HTTP status, 400 to 499, or 503 where the time was not enough.
    """

    def __init__(self, error: str, *, expected: str, found: str, status: int = 400) -> None:
        self.error = shortened(error, _MAX_EXPECTED)
        self.expected = shortened(expected, _MAX_EXPECTED)
        self.found = shortened(found)
        self.status = status
        super().__init__(f"{self.error}: expected {self.expected}, found {self.found}")

    def to_json(self) -> dict[str, str]:
        """The body of the answer."""
        return {"error": self.error, "expected": self.expected, "found": self.found}


def shortened(text: str, length: int = MAX_FOUND) -> str:
    """A text, cut to a number of characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def without_trace(error: Exception) -> Exception:
    """An exception that is kept, without what it holds: frames, in which bodies and all that was made of them live on.

    A list of exceptions in one of these frames is a cycle, which Python ends when it looks for cycles, many requests
    later: eight bodies of 6.5 MB that are no JSON made a worker grow by 150 MB.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
