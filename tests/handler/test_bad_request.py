"""Requests at fault: each is refused with what was expected and what was found."""

from __future__ import annotations

import base64
import gzip
import json

import numpy as np
import pytest

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request, require_no_encoding
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.picture_kinds import PICTURE_FILE
from pipeline._handlers.request import MAX_BODY_BYTES, MAX_INSTANCES
from tests.request_bodies import FORM, JSON, PIXELS, RAW, listed, png
from tests.served_models import GREY, SEQUENCE, TABLE

COUNT = InputSpec(name="count", dtype="int64", shape=(2,), low=-np.inf, high=np.inf)
EXAMPLE = '{"instances": [{"b64": "<base64 of a picture file>"}]}'
B64 = {"b64": base64.b64encode(b"no picture").decode()}


@pytest.mark.parametrize(("body", "found"), [([[1, 2, 0, 0]], "list"), (3, "int"), (2.5, "float"), (None, "NoneType")])
def test_parsed_json_that_is_no_object_is_named(body: object, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(body, JSON, [TABLE])
    message = f'JSON of the wrong form: expected {{"instances": [[0, ...]]}}, found {found}'
    assert (str(caught.value), caught.value.status) == (message, 400)


@pytest.mark.parametrize(
    ("body", "content_type", "spec", "message"),
    [
        (
            b"",
            "image/png",
            GREY,
            f"empty request body: expected {PICTURE_FILE}, or application/octet-stream of 48",
        ),
        (
            bytes(47),
            RAW,
            GREY,
            "input image: raw body of the wrong length: expected 48 bytes (uint8 of shape [1, 8, 6])",
        ),
        (bytes(47), RAW, SEQUENCE, "raw bytes need a model of one input of fixed shape: expected application/json"),
        (
            b"hello",
            "image/png",
            GREY,
            f"input image: not a picture: expected {PICTURE_FILE}, found 5 bytes beginning",
        ),
        (png(), "image/png", TABLE, "this model takes no picture as a body: expected application/octet-stream of 16"),
        (
            b"hello",
            "text/plain",
            GREY,
            f"request body of an unknown kind: expected {PICTURE_FILE}, or applic",
        ),
        (b"{", JSON, GREY, f"request body is not JSON: expected {EXAMPLE}, found Expecting property name"),
        (b'{"a": "\xff"}', JSON, GREY, "request body is not JSON: expected"),
        (b"[" * 60_000, JSON, GREY, "request body is not JSON: expected"),
        (b"[" * 100_000, JSON, GREY, f"JSON of the wrong form: expected {EXAMPLE}, found [[["),
        (b"[1]", JSON, GREY, f"JSON of the wrong form: expected {EXAMPLE}, found list"),
        (b'{"input": [1]}', JSON, GREY, f"JSON of the wrong form: expected {EXAMPLE}, found an object with the keys"),
        (
            b'{"instances": []}',
            JSON,
            GREY,
            f"instances of the wrong number: expected a list of 1 to 1024, {EXAMPLE}, found 0 of them",
        ),
        (b'{"instances": 3}', JSON, TABLE, "instances of the wrong number: expected a list of 1 to 1024, {"),
        (listed(*[0] * (MAX_INSTANCES + 1)), JSON, GREY, "instances of the wrong number: expected a list of 1 to 1024"),
        (listed([1, 2]), JSON, GREY, "instance 0, input image: wrong shape: expected [1, 8, 6], found [2]"),
        (listed([]), JSON, SEQUENCE, "instance 0, input tokens: wrong shape: expected [null], found [0]"),
        (listed([1, [2]]), JSON, TABLE, "instance 0, input features: wrong shape: expected nested lists of shape [4]"),
        (
            listed([1, 2, 3, 4]),
            JSON,
            TABLE,
            "input features: value out of its domain at [2]: expected -2 to 2, found 3",
        ),
        (listed([256] * 48), JSON, GREY, "instance 0, input image: wrong shape: expected [1, 8, 6], found [48]"),
        (
            listed((PIXELS.astype(int) - 1).tolist()),
            JSON,
            GREY,
            "input image: value out of its domain at [0, 0, 0]: exp",
        ),
        (
            listed((PIXELS + 0.5).tolist()),
            JSON,
            GREY,
            "instance 0, input image: wrong dtype: expected integers, found frac",
        ),
        (
            listed([True, False]),
            JSON,
            COUNT,
            "instance 0, input count: wrong dtype: expected integers, found true or false",
        ),
        (listed(["a", "b"]), JSON, COUNT, "instance 0, input count: wrong dtype: expected integers, found text"),
        (
            listed([None, 1]),
            JSON,
            COUNT,
            "instance 0, input count: wrong dtype: expected integers; this input has no missing values, found null",
        ),
        (
            listed([2**70, 1]),
            JSON,
            COUNT,
            "instance 0, input count: wrong dtype: expected integers, found a number that 64 bits do not hold",
        ),
        (listed([2**63, 2**63 + 1]), JSON, COUNT, "input count: value out of its domain at [0]"),
        (
            b'{"instances": [[NaN, 0, 0, 0]]}',
            JSON,
            TABLE,
            "non-finite value in JSON: expected finite numbers; this input has no missing values, found NaN",
        ),
        (b'{"instances": [[1e999, 0, 0, 0]]}', JSON, TABLE, "input features: non-finite value at [0]: expected finite"),
        (b'{"instances": [[1e300, 0, 0, 0]]}', JSON, TABLE, "input features: non-finite value at [0]: expected finite"),
        (
            np.array([0, np.nan, 0, 0], "<f4").tobytes(),
            RAW,
            TABLE,
            "input features: non-finite value at [1]: expected fin",
        ),
        (
            np.array([0, 9, 0, 0], "<f4").tobytes(),
            RAW,
            TABLE,
            "input features: value out of its domain at [1]: expected -2",
        ),
        (
            listed({"picture": 1}),
            JSON,
            GREY,
            f"instance 0: wrong inputs: expected {EXAMPLE}, found an object with the keys ['picture']",
        ),
        (
            listed({"b64": "%%"}),
            JSON,
            GREY,
            f"instance 0, input image: not base64: expected standard base64 of {PICTURE_FILE}, in one line: {{",
        ),
        (
            listed(B64),
            JSON,
            GREY,
            f"input image: not a picture: expected {PICTURE_FILE}, found 10 bytes beginning",
        ),
        (listed(B64), JSON, TABLE, "instance 0, input features: wrong form: expected nested lists: {"),
        (listed({"image": {"b65": 1}}), JSON, GREY, "instance 0, input image: wrong form: expected nested lists, or {"),
    ],
)
def test_bad_requests_are_named(body: bytes, content_type: str, spec: InputSpec, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(body, content_type, [spec])
    assert str(caught.value).startswith(message)
    assert 400 <= caught.value.status < 500
    assert set(caught.value.to_json()) == {"error", "expected", "found"}


WHOLE = base64.b64encode(png()).decode()
# 0xFB begins with the sixth bits 62, which the two alphabets write differently.
URL_SAFE = base64.urlsafe_b64encode(b"\xfb\xff" * 9).decode()


@pytest.mark.parametrize(
    ("instance", "found"),
    [
        ({"b64": f"data:image/png;base64,{WHOLE}"}, "a data URL; leave out all up to its comma"),
        ({"b64": base64.encodebytes(png()).decode()}, "spaces or line breaks"),
        ({"b64": f" {WHOLE}"}, "spaces or line breaks"),
        ({"b64": URL_SAFE}, "the alphabet for URLs, with - and _ instead of + and /"),
        ({"b64": "iVBORw"}, "Incorrect padding"),
        ({"b64": 5}, "an object with the keys ['b64']"),
        ({"data": WHOLE}, "an object with the keys ['data']"),
        ({"body": {"b64": WHOLE}}, "an object with the keys ['body']"),
        ({"image_bytes": {"b64": WHOLE}}, "an object with the keys ['image_bytes']"),
        ({"image": WHOLE}, "text, 'iVBORw0KGgoAAAAN'..."),
        (WHOLE, "text, 'iVBORw0KGgoAAAAN'..."),
    ],
)
def test_base64_in_other_forms_is_told_the_one_that_works(instance: object, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(listed(instance), JSON, [GREY])
    assert caught.value.found == found
    assert EXAMPLE in caught.value.expected
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("document", "found"),
    [
        ({"b64": WHOLE}, "an object with the keys ['b64']"),
        ({"data": WHOLE}, "an object with the keys ['data']"),
        ({"body": WHOLE}, "an object with the keys ['body']"),
        ([{"b64": WHOLE}], "list"),
        (WHOLE, "str"),
        ({"instances": {"b64": WHOLE}}, "dict"),
        ({"instances": [{"b64": WHOLE}], "parameters": {}}, "an object with the keys ['instances', 'parameters']"),
        ({"parameters": {}, "instances": [{"b64": WHOLE}]}, "an object with the keys ['instances', 'parameters']"),
        (
            {"signature_name": "serving_default", "instances": [1]},
            "an object with the keys ['instances', 'signature_name']",
        ),
        (
            {"instances": [{"image_bytes": {"b64": WHOLE}, "key": "1"}]},
            "an object with the keys ['image_bytes', 'key']",
        ),
    ],
)
def test_documents_of_other_servers_are_told_the_form_that_works(document: object, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(json.dumps(document).encode(), JSON, [GREY])
    assert caught.value.found == found
    assert EXAMPLE in caught.value.expected
    assert caught.value.status == 400


@pytest.mark.parametrize("content_type", ["image/png", "text/plain", "", FORM])
def test_a_picture_as_text_is_told_to_come_as_it_is(content_type: str) -> None:
    for text in (WHOLE, f"data:image/png;base64,{WHOLE}"):
        with pytest.raises(BadRequest, match="send the file's bytes as they are"):
            decode_request(text.encode(), content_type, [GREY])


def test_the_example_of_several_inputs_is_complete() -> None:
    word = InputSpec(name="word", dtype="int64", shape=(), low=0, high=9)
    with pytest.raises(BadRequest) as caught:
        decode_request(b"{}", JSON, [GREY, TABLE, word])
    assert caught.value.expected == (
        '{"instances": [{"image": {"b64": "<base64 of a picture file>"}, "features": [0, ...], "word": 0}]}'
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"instances": [[1, 2, 0, 0]], "instances": [[2, 1, 0, 0]]}',
        b'{"instances": [{"features": [1, 2, 0, 0], "features": [2, 1, 0, 0]}]}',
    ],
)
def test_a_key_twice_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match=r'JSON object with a key twice: expected each key once, found "[a-z]+"'):
        decode_request(body, JSON, [TABLE])


@pytest.mark.parametrize("encodings", ["gzip", "GZIP", "deflate", "identity, br", "x-gzip,chunked"])
def test_what_was_packed_for_the_way_is_not_unpacked(encodings: str) -> None:
    with pytest.raises(BadRequest, match="packed request body: expected the body as it is, without a con") as caught:
        require_no_encoding("content-encoding", encodings)
    assert caught.value.status == 415
    for harmless in ("", "identity", "Identity", "chunked"):
        require_no_encoding("content-encoding", harmless)


@pytest.mark.parametrize("content_type", [JSON, "image/png", "text/plain", ""])
def test_gzip_is_recognised_where_nothing_declares_it(content_type: str) -> None:
    with pytest.raises(BadRequest, match=r"packed request body: .*, found a body packed by gzip") as caught:
        decode_request(gzip.compress(listed([1, 2, 0, 0])), content_type, [TABLE])
    assert caught.value.status == 415


def test_too_large_a_body() -> None:
    with pytest.raises(BadRequest, match="request body too large: expected at most") as caught:
        decode_request(bytes(MAX_BODY_BYTES + 1), RAW, [GREY])
    assert caught.value.status == 413


def test_picture_for_several_inputs() -> None:
    with pytest.raises(BadRequest, match="this model takes no picture as a body: expected application/json") as caught:
        decode_request(png(), "image/png", [GREY, TABLE])
    assert caught.value.status == 415


def test_a_key_twice_among_very_many_is_found_in_one_pass() -> None:
    # A search of all earlier keys for each key would take long.
    body = "{" + ", ".join(f'"{number}": 0' for number in (*range(5_000), 4_999)) + "}"
    with pytest.raises(BadRequest, match='expected each key once, found "4999"'):
        decode_request(body.encode(), JSON, [TABLE])
