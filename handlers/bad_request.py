"""The error that a client receives when its request is not answered."""

from __future__ import annotations

# Longest part of a request that an answer repeats, in characters. A text of megabytes in a request would otherwise come
# back in its answer, and TorchServe ends a worker whose answer is too large.
MAX_FOUND = 200
# Longest text of our own words and of the description of the model's inputs, in characters.
_MAX_EXPECTED = 4000


class BadRequest(Exception):  # noqa: N818 - HTTP's name for it
    """A fault of the client, described in one line.

    Args:
        error: what is wrong.
        expected: what would have been right.
        found: what the request had instead; cut to `MAX_FOUND` characters.
        status: the HTTP status, 400 to 499, or 503 if the time was too short.
    """

    def __init__(self, error: str, *, expected: str, found: str, status: int = 400) -> None:
        self.error = shortened(error, _MAX_EXPECTED)
        self.expected = shortened(expected, _MAX_EXPECTED)
        self.found = shortened(found)
        self.status = status
        super().__init__(f"{self.error}: expected {self.expected}, found {self.found}")

    def to_json(self) -> dict[str, str]:
        """Return the body of the answer."""
        return {"error": self.error, "expected": self.expected, "found": self.found}


def shortened(text: str, length: int = MAX_FOUND) -> str:
    """Cut a text to a number of characters."""
    return text if len(text) <= length else f"{text[: length - 3]}..."


def without_trace(error: Exception) -> Exception:
    """Drop what an exception refers to: its frames keep request bodies, and all that was made of them, in memory.

    A list of exceptions in one of these frames is a reference cycle. Python frees a cycle only when it looks for
    cycles, many requests later: eight bodies of 6.5 MB that are not JSON made a worker grow by 150 MB.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    return error
