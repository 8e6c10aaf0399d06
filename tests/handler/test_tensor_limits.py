"""Inference requests at fault that are large: they are refused before they take much memory or time."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from pipeline._handlers import limits
from pipeline._handlers.answer_size import AnswerRoom
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.json_text import SMALL_JSON_BYTES
from pipeline._handlers.limits import Deadline, Limits
from tests.clocks import Clock
from tests.request_bodies import JSON, png
from tests.served_models import GREY, SEQUENCE, TABLE
from tests.tensor_bodies import infer_body, large, objects, said

WIDE = replace(TABLE, shape=(4096,))


def many(part: bytes, size: int = 6_500_000) -> bytes:
    return b",".join([part] * (size // (len(part) + 1)))


def wrapped(data: bytes, shape: bytes = b"[1024, 4096]", more: bytes = b"") -> bytes:
    return b'{"inputs": [{"name": "features", "shape": %b, "datatype": "FP32", "data": [%b]%b}]}' % (shape, data, more)


@pytest.mark.parametrize(
    ("body", "spec", "message"),
    [
        (wrapped(many(b"[]")), WIDE, "too many lists in one list: expected at most 250000, or the values in one flat"),
        (wrapped(many(b"[[]]")), WIDE, "too many lists in one list: expected at most 250000, or the values in one fla"),
        (b'{"inputs": [' + many(b"[]") + b"]}", TABLE, "JSON of the wrong form: expected "),
        (b'{"inputs": [' + many(b'{"data": []}') + b"]}", TABLE, "wrong inputs: expected "),
        (b'{"id": "' + b"x" * 6_000_000 + b'"}', TABLE, "JSON of the wrong form: expected "),
        (b'{"inputs":' + b"[" * 6_000_000, TABLE, "JSON of the wrong form: expected "),
        (wrapped(b"[" * 6_000_000), TABLE, "too many lists in one list"),
        (wrapped(many(b"0")), TABLE, "input features: wrong shape: expected [-1, 4], found [1024, 4096]"),
        (
            wrapped(many(b"0"), b"[1024, 4]"),
            TABLE,
            "input features: wrong number of values: expected 4096, as its shap",
        ),
        (
            wrapped(many(b'""'), b"[1024, 4]"),
            TABLE,
            "input features: wrong number of values: expected 4096, as its sha",
        ),
        (
            wrapped(many(b"[0,0,0,0]", 2_000_000), b"[1024, 4]"),
            TABLE,
            "input features: examples of the wrong number: expected 10",
        ),
        (
            wrapped(many(b"[0,0,0,0,0]", 2_000_000), b"[1024, 4]"),
            TABLE,
            "instance 0, input features: not of the input's shape",
        ),
        (
            wrapped(b"0,1,0," + b"1" * 6_000_000, b"[1, 4]"),
            TABLE,
            "input features: wrong number of values: expected 4,",
        ),
        (
            wrapped(many(b"0"), b"[200, 4096]"),
            WIDE,
            "input features: wrong number of values: expected 819200, as its sh",
        ),
        (
            wrapped(b"0," * 4095 + b" " * 125_000, b"[1024, 4]"),
            TABLE,
            "input features: wrong number of values: expected 4096, as its shape says, found 4095",
        ),
        (
            b'{"inputs": [{"name": "image", "shape": [1], "datatype": "BYTES", "data": [' + many(b'"ab"') + b"]}]}",
            GREY,
            "input image: wrong number of values: expected 1024, as its shape says, found more",
        ),
        (
            wrapped(b"0,1,0," + b"1" * 140_000 + b",0" * 4092, b"[1024, 4]"),
            TABLE,
            "input features: number too long, or too much space around it: expected at most 131072 characters, found 1",
        ),
        (wrapped(b"0,1,0," + b"1" * 65_500, b"[1, 4]"), TABLE, "request body is not JSON: expected"),
        (wrapped(b"0,1,,0" + b" " * 65_536, b"[1, 4]"), TABLE, "request body is not JSON: expected"),
        (wrapped(b"0,1,0," + b" " * 65_536, b"[1, 4]"), TABLE, "request body is not JSON: expected"),
        (
            wrapped(b"0,1,0" + b" " * 65_536, b"[1, 4]"),
            TABLE,
            "input features: wrong number of values: expected 4, as ",
        ),
        (
            wrapped(b"0," * 100_000 + b"0", b"[50, 4000]"),
            replace(WIDE, shape=(4000,)),
            "input features: wrong number o",
        ),
        (wrapped(b"0,1,0,1" + b" " * 65_536, b"[1, 4]", b" 1"), TABLE, "request body is not JSON: expected"),
        (wrapped(b"0,1,0,true" + b" " * 65_536, b"[1, 4]"), TABLE, "input features: wrong dtype: expected numbers, fo"),
        (wrapped(b"0,1,0,9" + b" " * 65_536, b"[1, 4]"), TABLE, "input features: value out of its domain at [0, 3]: e"),
        (
            wrapped(b"[0,1,0,9" + b" " * 65_536 + b"]", b"[1, 4]"),
            TABLE,
            "input features: value out of its domain at [3",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
def test_large_bodies_that_are_wrong_take_little_memory(body: bytes, spec: InputSpec, message: str) -> None:
    assert SMALL_JSON_BYTES < len(body) < 6_553_500
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest) as caught:
            decode_request(body, JSON, [spec])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(message)
    assert peak < 4 * len(body) + 3_000_000


def test_large_integers_are_refused_as_in_small_bodies() -> None:
    spec = replace(SEQUENCE, shape=(4,), dynamic_axes=())
    text = b'{"inputs": [{"name": "tokens", "shape": [1, 4], "datatype": "INT64", "data": [1, 2, 3, %d]}]}' % 2**63
    for body in (text, large(text)):
        assert said(body, JSON, spec).startswith("input tokens: value out of its domain at [")
    wide = replace(spec, shape=(50_000,), low=-np.inf, high=np.inf)
    zeros = b'{"inputs": [{"name": "tokens", "shape": [1, 50000], "datatype": "INT64", "data": [%d' % 2**63
    assert said(zeros + b", 0" * 49_999 + b"]}]}", JSON, wide).startswith("input tokens: value out of its domain at [")


def test_an_answer_without_room_is_refused_before_its_values_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline._handlers.tensor_body.tensor_examples", lambda *_: pytest.fail("values are read"))
    body, content_type = infer_body({"features": np.zeros((4, 4), np.float32)})
    with pytest.raises(BadRequest) as caught:
        decode_request(body, content_type, [TABLE], rooms=lambda _: AnswerRoom(most=3, tensors=("logits",)))
    assert (caught.value.status, caught.value.expected) == (413, "at most 3 instances in a request")


def test_pictures_are_counted_before_the_first_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline._handlers.tensor_values.decode_image", lambda *_: pytest.fail("a picture is decoded"))
    body, content_type = infer_body({"image": objects(*[b""] * 9)})
    with pytest.raises(BadRequest, match="found 9 pictures that become 48 pixels each"):
        decode_request(body, content_type, [GREY], limits=Limits(pixels=400))


def test_decoding_ends_with_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "time", Clock())
    body, content_type = infer_body({"image": objects(*[png()] * 100)})
    with pytest.raises(BadRequest) as caught:
        decode_request(body, content_type, [GREY], deadline=Deadline(10.5))
    assert (caught.value.status, caught.value.error) == (413, "more instances than are answered in time")
