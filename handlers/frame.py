"""A frame: several requests in one body, and their responses in one answer.

The front in front of a server that costs much per request sends what waits together; each request keeps its own status.
A frame of requests is a length, a JSON list and the bodies one after the other; so is a frame of responses.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .answer_size import MAX_ANSWER_BYTES, Extras
from .bad_request import BadRequest
from .exchange import Incoming, Response, Steps

# Media type of a frame of requests, and of its answer.
FRAME_MEDIA = "application/x-pipeline-frame"
# Header of a frame of requests: when work on it must have begun, on the machine's monotonic clock, in seconds.
BEGIN_BY_HEADER = "X-Pipeline-Begin-By"
# Status of a response that did not fit into the answer beside the others: the request has to be sent alone.
ALONE = 0
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a server handed over as one request.

    Args:
        requests: the request, or those of a frame; or why it cannot be read.
        framed: whether it was a frame.
    """

    requests: Sequence[Incoming | Exception]
    framed: bool = False


def pack_requests(requests: Sequence[Incoming]) -> bytes:
    """Write requests as one body."""
    heads = [
        [len(request.body), request.content_type, int(request.extras.logits), int(request.extras.decoded)]
        for request in requests
    ]
    return _pack(heads, [request.body for request in requests])


def unpack_requests(body: bytes) -> list[Incoming]:
    """Read what `pack_requests` wrote.

    Raises:
        BadRequest: it is no such body.
    """
    try:
        requests = [
            Incoming(body=part, content_type=str(media), extras=Extras(logits=bool(logits), decoded=bool(decoded)))
            for (_, media, logits, decoded), part in _unpack(body)
        ]
    except (ValueError, TypeError, struct.error) as error:
        raise _unreadable(str(error)) from error
    if not requests:
        raise _unreadable("no request in it")
    return requests


def pack_responses(responses: Sequence[Response], steps: Steps) -> bytes:
    """Write responses as one answer; those for which there is no room are left out, with the status `ALONE`.

    Args:
        responses: one response per request of the frame.
        steps: how long they took.
    """
    room = MAX_ANSWER_BYTES // 2 if len(responses) > 1 else MAX_ANSWER_BYTES
    kept = []
    for response in responses:
        room -= len(response.body)
        kept.append(response if room >= 0 or len(responses) == 1 else Response(ALONE, b""))
    times = json.dumps([steps.decode_s, steps.predict_s, steps.encode_s, steps.examples]).encode()
    heads = [[len(times), 0], *([len(response.body), response.status] for response in kept)]
    return _pack(heads, [times, *(response.body for response in kept)])


def unpack_responses(body: bytes) -> tuple[list[Response], Steps]:
    """Read what `pack_responses` wrote.

    Raises:
        ValueError: it is no such answer.
    """
    try:
        (_, times), *parts = _unpack(body)
        return [Response(int(status), part) for (_, status), part in parts], Steps(*json.loads(times))
    except (TypeError, struct.error) as error:
        raise ValueError(f"expected a frame of responses, found: {error}") from error


def is_late(begin_by: str | None) -> bool:
    """Tell whether work on a frame should have begun before now.

    Args:
        begin_by: the header that says by when; None where there is none.

    Raises:
        BadRequest: it is no number.
    """
    try:
        return begin_by is not None and time.monotonic() > float(begin_by)
    except ValueError as error:
        raise _unreadable(str(error)) from error


def _unreadable(reason: str) -> BadRequest:
    return BadRequest("a frame that cannot be read", expected=f"what the front sends as {FRAME_MEDIA}", found=reason)


def _pack(heads: Sequence[Sequence[Any]], parts: Sequence[bytes]) -> bytes:
    head = json.dumps(heads, separators=(",", ":")).encode()
    return b"".join((_LENGTH.pack(len(head)), head, *parts))


def _unpack(body: bytes) -> Iterator[tuple[list[Any], bytes]]:
    (length,) = _LENGTH.unpack_from(body)
    place = _LENGTH.size + length
    for head in json.loads(body[_LENGTH.size : place]):
        end = place + head[0]
        if not place <= end <= len(body):
            raise ValueError(f"a part of {head[0]} bytes, {len(body) - place} left")
        yield head, body[place:end]
        place = end
    if place != len(body):
        raise ValueError(f"{len(body) - place} bytes behind the last part")
