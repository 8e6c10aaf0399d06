"""Small requests that would take the worker for long: each is refused, and before the work is done."""

from __future__ import annotations

import base64
import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline._handlers import answer_size, limits
from pipeline._handlers.bad_request import MAX_FOUND, BadRequest
from pipeline._handlers.batch_answering import answer_requests
from pipeline._handlers.body_forms import decode_request, encode_response
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Serving
from pipeline._handlers.limits import Deadline, Limits, usual_pixels
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import MAX_INSTANCES, Request
from tests.clocks import Clock
from tests.request_bodies import JSON, listed
from tests.served_models import GREY, LABELS, SEQUENCE, TABLE, build_archive

LIMITS = Limits(pixels=usual_pixels([GREY]))
PHOTO = replace(GREY, shape=(1, 224, 224))
WIDE = replace(TABLE, shape=(4096,))
TEXT = "x" * 1_000_000


def many(part: bytes, size: int = 6_500_000) -> bytes:
    return b",".join([part] * (size // (len(part) + 1)))


@pytest.mark.parametrize(
    ("body", "spec", "message"),
    [
        (listed([""] * 1000 + [TEXT]), GREY, "instance 0, input image: not of the input's shape: expected nested"),
        (
            listed([""] * 40 + [TEXT[:60_000]]),
            GREY,
            "instance 0, input image: wrong shape: expected [1, 8, 6], found [",
        ),
        (listed(["", "", "", TEXT]), TABLE, "instance 0, input features: not of the input's shape: expected nested li"),
        (
            listed(["", "", "", TEXT[:60_000]]),
            TABLE,
            "instance 0, input features: wrong dtype: expected numbers, found",
        ),
        (b'{"instances":[[' + many(b"9" * 4300) + b"]]}", PHOTO, "instance 0, input image: not of the input's shape"),
        (listed(TEXT), TABLE, "instance 0, input features: wrong dtype: expected numbers, found text"),
        (json.dumps({"k" * 2_400_000: 1}).encode(), GREY, "JSON of the wrong form: expected {"),
        (json.dumps({"k" * 60_000: 1}).encode(), GREY, "JSON of the wrong form: expected {"),
        (listed({"k" * 2_400_000: 1}), GREY, "instance 0: wrong inputs: expected {"),
        (
            b'{"instances":[' + many(b"[]") + b"]}",
            GREY,
            "instance 0, input image: wrong shape: expected [1, 8, 6], fou",
        ),
        (b'{"instances":[' + many(b"[]") + b"]}", PHOTO, "instance 0, input image: wrong shape: expected [1, 224"),
        (b'{"instances":[[' + many(b"[]") + b"]]}", GREY, "instance 0, input image: not of the input's shape"),
        (b'{"instances":[' + many(b"{}") + b"]}", GREY, "instance 0: wrong inputs"),
        (b'{"instances":[' + many(b'""') + b"]}", GREY, "instance 0, input image: wrong form"),
        (b"[" + many(b"[]") + b"]", GREY, "JSON of the wrong form"),
        (b'{"instances":[[' + many(b"999") + b"]]}", PHOTO, "instance 0, input image: not of the input's shape"),
        (b'{"instances":[[' + many(b"0.5") + b"]]}", WIDE, "instance 0, input features: not of the input's shape"),
        (b'{"instances":[' + b"[" * 6_000_000, PHOTO, "instance 0, input image: not of the input's shape"),
        (b'{"instances":[' + many(b"[" * 900 + b"]" * 900) + b"]}", PHOTO, "instance 0, input image: not of the input"),
        (
            b'{"instances":[' + b"9" * 6_000_000 + b"]}",
            GREY,
            "instance 0, input image: number too long: expected at most 400 characters, found 999",
        ),
        (
            b'{"instances":[[' + many(b"[[1]]") + b"]]}",
            replace(GREY, dynamic_axes=(1, 2)),
            "instance 0, input image: too many lists: expected at most 250000, found more",
        ),
        (
            b'{"instances":[[' + many(b"[]") + b"]]}",
            replace(TABLE, shape=(4, 3), dynamic_axes=(0,), dynamic_sizes=((1, 10_000_000),)),
            "instance 0, input features: too many lists: expected at most 250000, found more",
        ),
        ('{"instances":["\U0001f600'.encode() + b"x" * 6_000_000, GREY, "JSON of the wrong form"),
        (listed({"b64": "x" * 6_000_000 + "%"}), GREY, "instance 0, input image: not base64: expected standard base64"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else "",
)
def test_a_body_is_refused_before_it_is_parsed_whole(body: bytes, spec: InputSpec, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BadRequest) as caught:
            decode_request(body, JSON, [spec], limits=LIMITS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(message)
    assert len(json.dumps(caught.value.to_json())) < 3000
    # Its text, a long value in it and that as bytes, and of what is parsed at once some kilobytes.
    assert peak < 4 * len(body) + 3_000_000


@pytest.mark.parametrize("space", ["", " ", "\n\t"])
def test_a_large_body_has_the_instances_of_the_small_one(space: str) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (700, 1, 8, 6))
    one = pixels.tolist()
    instances: list[Any] = [{"image": values} if row % 3 == 0 else values for row, values in enumerate(one)]
    body = json.dumps({"instances": instances}, separators=(f"{space},{space}", f"{space}:{space}"))
    body = f"{space}{body}{space}"
    assert len(body) > 65_536
    request = decode_request(body.encode(), JSON, [GREY])
    assert request.listed
    np.testing.assert_array_equal([instance["image"] for instance in request.instances], pixels)


def test_a_large_body_of_several_inputs() -> None:
    rows = [{"tokens": list(range(size)), "features": [0.5, -1, 2, size / 99]} for size in range(1, 99)] * 10
    request = decode_request(json.dumps({"instances": rows}, indent=1).encode(), JSON, [TABLE, SEQUENCE])
    assert [len(instance["tokens"]) for instance in request.instances] == [*range(1, 99)] * 10
    assert request.instances[5]["features"].tolist() == np.array([0.5, -1, 2, 6 / 99], np.float32).tolist()


def test_a_large_body_of_missing_values_and_numbers_alone() -> None:
    word = InputSpec(name="word", dtype="float32", shape=(), low=-9, high=9, missing=True)
    body = b'{"instances": [null, NaN, 2.5' + b" " * 70_000 + b", -1]}"
    values = [instance["word"] for instance in decode_request(body, JSON, [word]).instances]
    np.testing.assert_array_equal(np.array(values), [np.nan, np.nan, 2.5, -1])


@pytest.mark.parametrize(
    ("spec", "lengths"),
    [
        (replace(SEQUENCE, shape=(128,), dynamic_sizes=((1, 4096),)), [11] * 1024),
        (replace(SEQUENCE, shape=(128,), dynamic_sizes=((1, 512),)), [1] * 300 + [300] * 60 + [1] * 300 + [512]),
        (replace(SEQUENCE, shape=(100, 3), dynamic_sizes=((1, 5000),)), [10] * 1000),
        (replace(SEQUENCE, shape=(300, 1)), [300] * 1024),
    ],
    ids=["all short", "short and long", "rows", "many lists together"],
)
def test_short_instances_of_an_input_that_may_be_long(spec: InputSpec, lengths: list[int]) -> None:
    instances = [np.full((length, *spec.shape[1:]), 98).tolist() for length in lengths]
    body = json.dumps({"instances": instances}, separators=(",", ":")).encode()
    request = decode_request(body + b" " * 65_536, JSON, [spec])
    assert [len(instance["tokens"]) for instance in request.instances] == lengths


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("padding", [0, 70_000])
def test_every_encoding_of_json_is_read_alike(encoding: str, padding: int) -> None:
    spec = replace(TABLE, name="gr\u00f6\u00dfe \U0001f5bc")
    good = json.dumps({"instances": [{spec.name: [1, 0, 1, 0]}]}, ensure_ascii=False) + " " * padding
    (instance,) = decode_request(good.encode(encoding), JSON, [spec]).instances
    assert instance[spec.name].tolist() == [1, 0, 1, 0]
    with pytest.raises(BadRequest, match="wrong dtype: expected numbers, found true or false"):
        decode_request(good.replace("1, 0]", "true, false]").encode(encoding), JSON, [spec])


def test_what_no_text_is_is_named() -> None:
    with pytest.raises(BadRequest, match=r"request body is not JSON: expected .* found 'utf-8' codec can't decode"):
        decode_request(b'{"instances": [["\xff"]]}' + b" " * 70_000, JSON, [TABLE])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_pictures_are_counted_in_every_encoding(monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
    monkeypatch.setattr(
        "pipeline._handlers.json_instances.decode_image", lambda *_: pytest.fail("a picture is decoded")
    )
    body = listed(*[{"b64": ""}] * 9).decode().encode(encoding)
    with pytest.raises(BadRequest, match="found 9 pictures that become 48 pixels each"):
        decode_request(body, JSON, [GREY], limits=Limits(pixels=400))


@pytest.mark.parametrize("number", ["0." + "1" * 398, "1." + "0" * 399, "9" * 500, "1" * 400 + "e-400"])
def test_a_number_is_read_whole_or_refused_in_words(number: str) -> None:
    spec = replace(TABLE, shape=())
    body = b'{"instances": [' + number.encode() + b", 1]}" + b" " * 70_000
    if len(number) <= 400:
        assert decode_request(body, JSON, [spec]).instances[0]["features"] == np.float32(float(number))
        return
    with pytest.raises(BadRequest, match="instance 0, input features: number too long: expected at most 400 character"):
        decode_request(body, JSON, [spec])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"instances": [[1, 2, 0, 0]', "request body is not JSON: expected"),
        ('{"instances": [[1, 2, 0, 0] [1, 2, 0, 0]]}', "request body is not JSON: expected"),
        ('{"instances": [[1, 2, 0, 0],]}', "request body is not JSON: expected"),
        ('{"instances": [[1, 2, 0, 0]]', "JSON of the wrong form: expected"),
        ('{"instances": [[1, 2, 0, 0]]} 1', "JSON of the wrong form: expected"),
        ('{"instances": [[1, 2, 0, 0]], "instances": []}', "JSON of the wrong form: expected"),
        ('{"instances": []}', "instances of the wrong number: expected"),
        ('{"instances": [{"features": [1, 2, 0, 0], "features": [1]}]}', "JSON object with a key twice: expected"),
        ('{"instances": [{"features": [1, 2, 0, 0]; }]}', "request body is not JSON: expected"),
        ('{"instances": [{features: [1, 2, 0, 0]}]}', "request body is not JSON: expected"),
        ('{"instances": [[1, 2, 0]]}', "instance 0, input features: wrong shape: expected [4], found [3]"),
        ('{"instances": [[1, 2, 0, 0, 0]]}', "instance 0, input features: "),
        ('{"instances": [[1, 2, 0, Infinity]]}', "non-finite value in JSON: expected"),
        ('{"instances": [[1, 2, 0, true]]}', "instance 0, input features: wrong dtype: expected numbers, found true"),
    ],
)
def test_large_bodies_that_are_wrong_are_named(text: str, message: str) -> None:
    padded = text.replace("[[", "[" + " " * 70_000 + "[", 1).replace("[{", "[" + " " * 70_000 + "{", 1)
    body = padded if len(padded) > 65_536 else " " * 70_000 + padded
    with pytest.raises(BadRequest) as caught:
        decode_request(body.encode(), JSON, [TABLE])
    assert str(caught.value).startswith(message)
    assert caught.value.status == 400


def test_more_instances_than_allowed_are_not_looked_at() -> None:
    body = b'{"instances":[' + many(b"[0,0,0,0]") + b"]}"
    with pytest.raises(
        BadRequest, match=r"instances of the wrong number: expected a list of 1 to 1024, .* found more$"
    ):
        decode_request(body, JSON, [TABLE])


def test_what_a_client_sent_comes_back_cut() -> None:
    refusal = BadRequest("e" * 9000, expected="x" * 9000, found="f" * 9000)
    assert {field: len(text) for field, text in refusal.to_json().items()} == {
        "error": 4000,
        "expected": 4000,
        "found": MAX_FOUND,
    }
    assert len(str(refusal)) < 9000
    whole = BadRequest("error", expected="this", found="f" * MAX_FOUND)
    assert whole.found == "f" * MAX_FOUND


def test_limits_are_kept_and_an_older_description_has_none(tmp_path: Path) -> None:
    archive = build_archive(tmp_path, [GREY])
    assert "limits" not in archive.serving.to_json()
    archive.unpack(tmp_path / "unpacked")
    assert Predictor.load(tmp_path / "unpacked").limits == Limits(pixels=3 << 22, seconds=10.0)
    serving = replace(archive.serving, limits=Limits(pixels=7, seconds=2.5))
    assert Serving.from_json(json.loads(json.dumps(serving.to_json()))) == serving
    most = {"pixels": 1 << 28, "seconds": 30}
    assert Limits.from_json(most).to_json() == most
    documents: list[object] = [[], {"pixels": 1}, {**most, "more": 1}, None]
    for wrong in documents:
        with pytest.raises(ValueError, match="limits: expected an object of pixels and seconds, found something else"):
            Serving.from_json({**serving.to_json(), "limits": wrong})
    for pixels in (0, -1, True, "12", 1.5, 10**30, 1 << 29, None):
        with pytest.raises(ValueError, match="limits: pixels: expected a whole number from 1 to 268435456, found "):
            Serving.from_json({**serving.to_json(), "limits": {**most, "pixels": pixels}})
    for seconds in (0, -1, True, "12", 1e300, np.inf, np.nan, 10**400, 31, None):
        with pytest.raises(ValueError, match="limits: seconds: expected a number") as caught:
            Serving.from_json({**serving.to_json(), "limits": {**most, "seconds": seconds}})
        assert len(str(caught.value)) < 200


def test_the_usual_pixels_follow_the_input() -> None:
    assert [usual_pixels([replace(GREY, shape=(1, side, side))]) for side in (28, 224, 600, 2000)] == [
        3 << 22,
        3 << 22,
        64 * 600 * 600,
        32_000_000,
    ]
    assert usual_pixels([TABLE]) == 3 << 22


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(limits, "time", clock)
    return clock


def test_decoding_ends_with_the_deadline(clock: Clock) -> None:
    body = listed(*[[0, 1, 0, 1]] * 100)
    with pytest.raises(BadRequest) as caught:
        decode_request(body, JSON, [TABLE], deadline=Deadline(10.5))
    assert (caught.value.status, caught.value.expected) == (
        413,
        "about 4 of them in one request, half as many as 10.5 s were enough to decode",
    )
    assert clock.now == 12


def test_answering_ends_with_the_deadline(tmp_path: Path, clock: Clock) -> None:
    build_archive(tmp_path / "made", [TABLE]).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    instances = [{"features": np.zeros(4, dtype=np.float32)}] * MAX_INSTANCES
    assert len(predictor.predict(instances[:9], Deadline(5))) == 9
    clock.now = 0
    with pytest.raises(BadRequest) as caught:
        predictor.predict(instances, Deadline(10.5))
    # Ten batches of seven, the largest that is proven.
    assert (caught.value.status, caught.value.expected[:16]) == (413, "at most 70 of th")
    assert clock.now == 12
    with pytest.raises(BadRequest, match=r"no answer in time: expected an answer within 0\.5 s; ask again") as caught:
        predictor.predict(instances[:1], Deadline(0.5))
    assert caught.value.status == 503


def test_the_search_for_the_instance_without_an_answer_ends_with_the_deadline(tmp_path: Path, clock: Clock) -> None:
    build_archive(tmp_path / "made", [TABLE]).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    good, bad = ({"features": np.full(4, value, dtype=np.float32)} for value in (0, np.inf))
    request = Request(instances=(*[good] * 900, bad), form="instances", listed=True)
    (answer,) = answer_requests(predictor, [request], Deadline(200.5))
    assert isinstance(answer, BadRequest)
    assert (answer.status, answer.error) == (503, "no answer in time")
    assert clock.now < 210


def test_a_slow_request_takes_the_time_of_no_other(tmp_path: Path, clock: Clock) -> None:
    build_archive(tmp_path / "made", [TABLE]).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    instance = {"features": np.ones(4, dtype=np.float32)}
    requests = [
        Request(instances=(instance,) * size, form="instances", listed=True)
        for size in (MAX_INSTANCES, 1, 12, 2, MAX_INSTANCES)
    ]
    answers = answer_requests(predictor, requests, Deadline(60.5))
    assert [len(answer) for answer in answers[1:4] if isinstance(answer, np.ndarray)] == [1, 12, 2]
    for answer in (answers[0], answers[4]):
        assert isinstance(answer, BadRequest)
        assert (answer.status, answer.error) == (413, "more instances than are answered in time")
    assert clock.now < 70  # all of them together are not late


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (answer_size.AnswerRoom(most=3), "at most 3 instances in a request"),
        (answer_size.AnswerRoom(most=3, extras="logits"), "at most 3 instances in a request for logits"),
        (answer_size.AnswerRoom(most=0, extras="logits"), "a request without asking for logits"),
        (answer_size.AnswerRoom(most=0), "a model with shorter labels, of which one answer has at most 6553500 bytes"),
    ],
)
def test_too_large_an_answer_is_told_with_what_fits(room: answer_size.AnswerRoom, expected: str) -> None:
    with pytest.raises(BadRequest) as caught:
        room.require(4)
    assert (caught.value.status, caught.value.expected) == (413, expected)


@pytest.mark.parametrize("labels", [LABELS, ('"' * 300, "\u20ac" * 200, "c", "d", "e")])
def test_the_largest_answer_is_no_larger_than_promised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: tuple[str, ...]
) -> None:
    archive = build_archive(tmp_path / "made", [TABLE])
    archive.unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    predictor.serving = replace(archive.serving, labels=labels)
    smallest = np.float32(-1.1754943508222875e-38)
    logits = np.full((60, len(labels)), smallest, dtype=np.float32)
    logits[:, 0] = 80  # the others' probabilities are as long as any
    instance = {"features": np.zeros(4, dtype=np.float32)}
    request = Request(instances=(instance,) * 60, form="instances", listed=True)
    for with_logits in (False, True):
        for with_decoded in (False, True):
            extras = answer_size.Extras(logits=with_logits, decoded=with_decoded)
            body = encode_response(predictor, request, logits, extras)
            monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", len(body))
            most = answer_size.most_instances(predictor.serving, answer_size.longest_answer(predictor.serving), extras)
            assert 0.6 * 60 < most <= 60


def test_pictures_in_one_body_share_the_limit_of_the_model() -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (1000, 1000), (1, 2, 3, 4)).save(buffer, format="PNG")
    picture = {"b64": base64.b64encode(buffer.getvalue()).decode()}
    assert len(decode_request(listed(*[picture] * 6), JSON, [GREY], limits=LIMITS).instances) == 6
    with pytest.raises(BadRequest, match="pictures of one request too large together: expected at most 12582912 pixel"):
        decode_request(listed(*[picture] * 7), JSON, [GREY], limits=LIMITS)
