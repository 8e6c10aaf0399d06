"""Frames: what goes in comes out, and what is no frame is refused."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline._handlers.answer_size import MAX_ANSWER_BYTES, Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.exchange import Incoming, Response, Steps
from pipeline._handlers.frame import ALONE, is_late, pack_requests, pack_responses, unpack_requests, unpack_responses

REQUESTS = [
    Incoming(body=b"", content_type="", extras=Extras()),
    Incoming(body=bytes(range(256)), content_type='image/png; a="ä"', extras=Extras(logits=True)),
    Incoming(body=b"[1]" * 1000, content_type="application/json", extras=Extras(logits=True, decoded=True)),
]


def test_requests_and_responses_come_out_as_they_went_in() -> None:
    assert unpack_requests(pack_requests(REQUESTS)) == REQUESTS
    responses = [Response(200, b"{}"), Response(400, b""), Response(503, bytes(range(256)))]
    steps = Steps(decode_s=0.5, predict_s=0.25, encode_s=0.125, examples=7)
    assert unpack_responses(pack_responses(responses, steps)) == (responses, steps)


def test_responses_that_are_too_large_together_are_asked_for_alone() -> None:
    large = Response(200, bytes(MAX_ANSWER_BYTES // 3))
    responses, _ = unpack_responses(pack_responses([large, large, Response(200, b"{}")], Steps()))
    assert [response.status for response in responses] == [200, ALONE, ALONE]
    whole = Response(200, bytes(MAX_ANSWER_BYTES))
    assert unpack_responses(pack_responses([whole], Steps()))[0] == [whole]


def test_what_is_no_frame_is_refused() -> None:
    frame = pack_requests(REQUESTS)
    for body in (
        b"",
        b"\0\0\0\0",
        b"\2\0\0\0[]",
        frame + b"x",
        *(frame[:length] for length in range(0, len(frame), 97)),
    ):
        with pytest.raises(BadRequest, match="a frame that cannot be read"):
            unpack_requests(body)
    random = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(frame)
        changed[random.integers(0, 60)] = random.integers(0, 256)
        try:
            unpack_requests(bytes(changed))
        except BadRequest:
            continue


def test_a_time_that_is_none_is_refused() -> None:
    assert not is_late(None)
    with pytest.raises(BadRequest, match="a frame that cannot be read"):
        is_late("soon")
