"""Request bodies in every form, good and bad."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from handlers.decode import BadRequest, InputSpec, MadeUp
from handlers.request import MAX_BODY_BYTES, MAX_INSTANCES, decode_request
from tests.served_models import GREY, TABLE

PIXELS: NDArray[np.uint8] = np.arange(48, dtype=np.uint8).reshape(1, 8, 6)
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
RAW = "application/octet-stream"
COUNT = InputSpec(name="count", dtype="int64", shape=(2,), low=-np.inf, high=np.inf)
SEQUENCE = InputSpec(name="tokens", dtype="int64", shape=(3,), low=0, high=99, dynamic_axes=(0,))


def png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(buffer, format="PNG")
    return buffer.getvalue()


def listed(*instances: object) -> bytes:
    return json.dumps({"instances": list(instances)}).encode()


@pytest.mark.parametrize(
    "content_type", ["image/png", "image/jpeg", "image/*", FORM, "", RAW, "text/plain", "IMAGE/PNG; q=1"]
)
def test_a_picture_is_recognised_whatever_it_is_called(content_type: str) -> None:
    request = decode_request(png(), content_type, [GREY])
    assert not request.listed
    np.testing.assert_array_equal(request.instances[0]["image"], PIXELS)


def test_raw_bytes() -> None:
    request = decode_request(PIXELS.tobytes(), RAW, [GREY])
    assert not request.listed
    np.testing.assert_array_equal(request.instances[0]["image"], PIXELS)


def test_raw_floats_are_little_endian() -> None:
    values = np.array([0.5, -2.0, 2.0, 0.0], dtype=np.float32)
    instance = decode_request(values.astype("<f4").tobytes(), RAW, [TABLE]).instances[0]["features"]
    assert instance.dtype == np.float32
    np.testing.assert_array_equal(instance, values)


@pytest.mark.parametrize("content_type", [JSON, "application/vnd.model+json", FORM, ""])
def test_json_instances(content_type: str) -> None:
    body = listed(PIXELS.tolist(), {"b64": base64.b64encode(png()).decode()}, {"image": PIXELS.tolist()})
    request = decode_request(body, content_type, [GREY])
    assert request.listed
    for instance in request.instances:
        assert instance["image"].dtype == np.uint8
        np.testing.assert_array_equal(instance["image"], PIXELS)


def test_json_that_the_server_parsed_already() -> None:
    assert len(decode_request({"instances": [[1, 2, 0, 0]]}, JSON, [TABLE]).instances) == 1
    assert len(decode_request('{"instances": [[1, 2, 0, 0]]}', "text/plain", [TABLE]).instances) == 1


@pytest.mark.parametrize(("body", "found"), [([[1, 2, 0, 0]], "list"), (3, "int"), (2.5, "float"), (None, "NoneType")])
def test_parsed_json_that_is_no_object_is_named(body: object, found: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(body, JSON, [TABLE])
    message = f'JSON of the wrong form: expected an object with the one key "instances", found {found}'
    assert (str(caught.value), caught.value.status) == (message, 400)


def test_several_inputs_by_name() -> None:
    body = listed({"image": PIXELS.tolist(), "features": [1, 2, 0, -0.5]})
    instance = decode_request(body, JSON, [GREY, TABLE]).instances[0]
    assert list(instance) == ["image", "features"]
    np.testing.assert_array_equal(instance["features"], np.array([1, 2, 0, -0.5], dtype=np.float32))


def test_dynamic_axis_takes_any_length() -> None:
    request = decode_request(listed([1, 2], [3, 4, 5, 6]), JSON, [SEQUENCE])
    assert [instance["tokens"].shape for instance in request.instances] == [(2,), (4,)]


def test_bounds_belong_to_the_domain_in_the_inputs_own_precision() -> None:
    spec = InputSpec(name="x", dtype="float32", shape=(1,), low=-0.1, high=0.1)
    decode_request(listed([0.1], [-0.1]), JSON, [spec])
    decode_request(np.array([0.1], dtype=np.float32).tobytes(), RAW, [spec])


B64 = {"b64": base64.b64encode(b"no picture").decode()}


@pytest.mark.parametrize(
    ("body", "content_type", "spec", "message"),
    [
        (b"", "image/png", GREY, "empty request body: expected a PNG or JPEG file, or application/octet-stream of 48"),
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
            "input image: not a picture: expected a PNG or JPEG file, found 5 bytes beginning",
        ),
        (png(), "image/png", TABLE, "this model takes no picture as a body: expected application/octet-stream of 16"),
        (b"hello", "text/plain", GREY, "request body of an unknown kind: expected a PNG or JPEG file, or applic"),
        (b"{", JSON, GREY, 'request body is not JSON: expected {"instances": [...]}, found Expecting property name'),
        (b'{"a": "\xff"}', JSON, GREY, "request body is not JSON: expected"),
        (b"[" * 100_000, JSON, GREY, "request body is not JSON: expected"),
        (b"[1]", JSON, GREY, 'JSON of the wrong form: expected an object with the one key "instances", found list'),
        (b'{"inputs": [1]}', JSON, GREY, "JSON of the wrong form: expected an object with the one key"),
        (
            b'{"instances": []}',
            JSON,
            GREY,
            "instances of the wrong number: expected a list of 1 to 1024, found 0 of them",
        ),
        (b'{"instances": 3}', JSON, GREY, "instances of the wrong number: expected a list of 1 to 1024, found int"),
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
        (listed([None, 1]), JSON, COUNT, "instance 0, input count: wrong dtype: expected integers, found null"),
        (
            listed([2**70, 1]),
            JSON,
            COUNT,
            "instance 0, input count: wrong dtype: expected integers, found null, an object",
        ),
        (listed([2**63, 2**63 + 1]), JSON, COUNT, "input count: value out of its domain at [0]"),
        (
            b'{"instances": [[NaN, 0, 0, 0]]}',
            JSON,
            TABLE,
            "non-finite value in JSON: expected finite numbers, found NaN",
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
            "instance 0: wrong inputs: expected an object with the keys ['image'], found",
        ),
        (
            listed({"b64": "%%"}),
            JSON,
            GREY,
            "instance 0, input image: not base64: expected base64 of a PNG or JPEG, found",
        ),
        (listed(B64), JSON, GREY, "input image: not a picture: expected a PNG or JPEG file, found 10 bytes beginning"),
        (listed(B64), JSON, TABLE, "instance 0, input features: wrong form: expected nested lists, found an object"),
        (listed({"image": {"b65": 1}}), JSON, GREY, "instance 0, input image: wrong form: expected nested lists or"),
    ],
)
def test_bad_requests_are_named(body: bytes, content_type: str, spec: InputSpec, message: str) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(body, content_type, [spec])
    assert str(caught.value).startswith(message)
    assert 400 <= caught.value.status < 500
    assert set(caught.value.to_json()) == {"error", "expected", "found"}


def test_too_large_a_body() -> None:
    with pytest.raises(BadRequest, match="request body too large: expected at most") as caught:
        decode_request(bytes(MAX_BODY_BYTES + 1), RAW, [GREY])
    assert caught.value.status == 413


def flat_png(width: int, height: int) -> dict[str, str]:
    buffer = io.BytesIO()
    Image.new("L", (width, height), 9).save(buffer, format="PNG")
    return {"b64": base64.b64encode(buffer.getvalue()).decode()}


def test_the_pictures_of_a_request_share_one_limit() -> None:
    four = flat_png(2000, 2000)
    assert len(decode_request(listed(*[four] * 8), JSON, [GREY]).instances) == 8
    with pytest.raises(BadRequest) as caught:
        decode_request(listed(*[four] * 9), JSON, [GREY])
    assert str(caught.value) == (
        "pictures of one request too large together: expected at most 32000000 pixels, before or after resizing, "
        "found 36000000 up to a picture of 2000 x 2000"
    )
    assert caught.value.status == 413


def test_what_small_pictures_are_resized_to_counts_as_well() -> None:
    large = replace(GREY, shape=(1, 5000, 5000))
    assert len(decode_request(listed(flat_png(1, 1)), JSON, [large]).instances) == 1
    with pytest.raises(BadRequest, match=r"too large together: .* found 50000000 up to a picture of 1 x 1"):
        decode_request(listed(flat_png(1, 1), flat_png(1, 1)), JSON, [large])


def test_picture_for_several_inputs() -> None:
    with pytest.raises(BadRequest, match="this model takes no picture as a body: expected application/json") as caught:
        decode_request(png(), "image/png", [GREY, TABLE])
    assert caught.value.status == 415


@pytest.mark.parametrize(
    ("tokens", "refused"), [([0, 0, 0], "0 alone"), ([9, 9, 9], "9 alone"), ([0, 9, 0], ""), ([1, 1, 1], "")]
)
def test_one_value_everywhere_is_refused_where_it_does_not_occur(tokens: list[int], refused: str) -> None:
    spec = InputSpec(name="tokens", dtype="int64", shape=(3,), low=0, high=9, occurs=("noise",))
    body = json.dumps({"instances": [tokens]}).encode()
    if not refused:
        assert decode_request(body, "application/json", [spec]).instances[0]["tokens"].tolist() == tokens
        return
    with pytest.raises(BadRequest) as caught:
        decode_request(body, "application/json", [spec])
    assert (caught.value.status, caught.value.found) == (400, refused)
    assert decode_request(body, "application/json", [replace(spec, occurs=get_args(MadeUp))]).instances


def test_an_input_keeps_what_occurs_and_an_older_description_has_all_of_it() -> None:
    spec = InputSpec(name="tokens", dtype="int64", shape=(3,), low=0, high=9, occurs=("noise",))
    document = json.loads(json.dumps(spec.to_json()))
    assert InputSpec.from_json(document) == spec
    del document["occurs"]
    assert InputSpec.from_json(document).occurs == ("zeros", "maximum", "noise")
    with pytest.raises(ValueError, match="occurs: expected some of"):
        InputSpec.from_json({**document, "occurs": ["padding"]})
