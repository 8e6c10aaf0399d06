"""An answer of the front: status, headers and body."""

from __future__ import annotations

import json
from dataclasses import dataclass

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
HTML = b"text/html; charset=utf-8"
METRICS = b"text/plain; version=0.0.4; charset=utf-8"


# Frozen objects take two to four times as long to make.
@dataclass(slots=True)
class Answer:
    """What a client gets.

    Args:
        status: the HTTP status.
        body: the whole body.
        media: its media type.
        headers: further headers, names in lower case.
        worker: process id of the worker that gave it; None for this process.
    """

    status: int
    body: bytes
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    worker: int | None = None


def json_answer(document: object, status: int = 200) -> Answer:
    """Return an answer of JSON."""
    return Answer(status, json.dumps(document).encode())


def refused(status: int, error: str, *, expected: str, found: str, challenge: bool = False) -> Answer:
    """Return the answer to a request that is not taken.

    Args:
        status: the HTTP status.
        error: what is wrong.
        expected: what would have been right.
        found: what there was instead.
        challenge: whether the client should ask again with a token.
    """
    body = json.dumps({"error": error, "expected": expected, "found": found[:200]}).encode()
    return Answer(status, body, headers=((b"www-authenticate", b"Bearer"),) if challenge else ())
