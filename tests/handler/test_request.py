"""Request bodies in every form that is read."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from PIL import Image

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.decode import InputSpec, MadeUp
from pipeline._handlers.domain import occurring
from tests.request_bodies import FORM, JSON, PIXELS, RAW, listed, png
from tests.served_models import GREY, SEQUENCE, TABLE


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


def test_several_inputs_by_name() -> None:
    body = listed({"image": PIXELS.tolist(), "features": [1, 2, 0, -0.5]})
    instance = decode_request(body, JSON, [GREY, TABLE]).instances[0]
    assert list(instance) == ["image", "features"]
    np.testing.assert_array_equal(instance["features"], np.array([1, 2, 0, -0.5], dtype=np.float32))


def test_dynamic_axis_takes_any_length() -> None:
    request = decode_request(listed([1, 2], [3, 4, 5, 6]), JSON, [SEQUENCE])
    assert [instance["tokens"].shape for instance in request.instances] == [(2,), (4,)]


def test_a_size_outside_its_declared_range_is_refused() -> None:
    spec = replace(SEQUENCE, shape=(3,), dynamic_sizes=((2, 4),))
    assert decode_request(listed([1] * 4), JSON, [spec]).instances[0]["tokens"].shape == (4,)
    for size in (1, 5):
        with pytest.raises(BadRequest) as caught:
            decode_request(listed([7, 7], [7] * size), JSON, [spec])
        assert (caught.value.status, str(caught.value)) == (
            400,
            f"instance 1, input tokens: size of axis 0 out of its range: expected 2 to 4, found {size}",
        )


def test_axes_of_one_name_have_one_size_in_an_example() -> None:
    tokens = replace(SEQUENCE, dynamic_names=("length",))
    inputs = [tokens, replace(tokens, name="mask")]
    both = [{"tokens": [1] * size, "mask": [1] * size} for size in (2, 5)]
    assert len(decode_request(listed(*both), JSON, inputs).instances) == 2
    with pytest.raises(
        BadRequest,
        match=r"^instance 0, input mask: size of axis 0 differs from that of tokens axis 0: expected one size of "
        r"length, 2, found 5$",
    ):
        decode_request(listed({"tokens": [1, 1], "mask": [1] * 5}), JSON, inputs)


def test_bounds_belong_to_the_domain_in_the_inputs_own_precision() -> None:
    spec = InputSpec(name="x", dtype="float32", shape=(1,), low=-0.1, high=0.1)
    decode_request(listed([0.1], [-0.1]), JSON, [spec])
    decode_request(np.array([0.1], dtype=np.float32).tobytes(), RAW, [spec])


GAPS = replace(TABLE, missing=True)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"instances": [[null, 2, NaN, -2]]}', JSON),
        (b'{"instances": [{"features": [null, 2.0, null, -2]}]}', JSON),
        (np.array([np.nan, 2, np.nan, -2], "<f4").tobytes(), RAW),
    ],
)
def test_missing_values_where_they_are_declared(body: bytes, content_type: str) -> None:
    instance = decode_request(body, content_type, [GAPS]).instances[0]["features"]
    assert instance.dtype == np.float32
    np.testing.assert_array_equal(instance, np.array([np.nan, 2, np.nan, -2], dtype=np.float32))


@pytest.mark.parametrize("value", ["true", '"a"', "{}", "[1]", "Infinity", "1e999", "1e300", "3", "-2.1", "9" * 400])
def test_what_is_no_value_is_refused_beside_missing_ones(value: str) -> None:
    body = f'{{"instances": [[null, 0, 0, {value}]]}}'.encode()
    with pytest.raises(BadRequest):
        decode_request(body, JSON, [GAPS])


def test_what_stands_beside_missing_values_is_named() -> None:
    message = "expected numbers, and null for missing values, found true or false$"
    with pytest.raises(BadRequest, match=message):
        decode_request(b'{"instances": [[null, 0, 0, true]]}', JSON, [GAPS])


def test_only_missing_values() -> None:
    instance = decode_request(listed([None] * 4), JSON, [GAPS]).instances[0]["features"]
    assert np.isnan(instance).all()


def test_missing_values_belong_to_the_input_that_declares_them() -> None:
    other = InputSpec(name="other", dtype="float32", shape=(1,), low=-9, high=9)
    for value in ("null", "NaN"):
        body = f'{{"instances": [{{"features": [null, 0, 0, 0], "other": [{value}]}}]}}'.encode()
        with pytest.raises(BadRequest, match=r"input other: .*this input has no missing values"):
            decode_request(body, JSON, [GAPS, other])


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
    with pytest.raises(BadRequest, match=r"too large together: .* found 2 pictures that become 25000000 pixels each"):
        decode_request(listed(flat_png(1, 1), flat_png(1, 1)), JSON, [large])


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


def test_examples_of_one_value_alone_are_found_row_by_row() -> None:
    spec = InputSpec(name="tokens", dtype="int64", shape=(2,), low=0, high=9, occurs=("zeros", "noise"))
    rows = np.array([[0, 0], [9, 9], [9, 0], [1, 1]])
    assert occurring(rows, spec).tolist() == [True, False, True, True]
    assert occurring(rows, replace(spec, occurs=get_args(MadeUp))).all()
    assert occurring(rows[:0], spec).shape == (0,)
    assert occurring(rows[:, 1], replace(spec, shape=())).tolist() == [True, False, True, True]
