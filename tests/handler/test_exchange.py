"""Requests that are answered together get, byte for byte, the responses that each gets alone."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline._handlers import answer_size, limits, tensor_answer
from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import AnswerRooms, decode_request, encode_response
from pipeline._handlers.exchange import Incoming, respond
from pipeline._handlers.limits import Deadline
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import Request
from tests.served_models import GREY, build_archive

RAW, JSON = "application/octet-stream", "application/json"
EXTRAS = [Extras(logits=logits, decoded=decoded) for logits in (False, True) for decoded in (False, True)]
WRONG = 77  # a picture of nothing else has no answer


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder: Path = tmp_path_factory.mktemp("packed")
    build_archive(folder, [GREY]).unpack(folder / "unpacked")
    return Predictor.load(folder / "unpacked")


def pixels(seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, GREY.shape, dtype=np.uint8)


def raw(seed: int, extras: Extras = EXTRAS[0]) -> Incoming:
    return Incoming(body=pixels(seed).tobytes(), content_type=RAW, extras=extras)


def png(seed: int) -> Incoming:
    buffer = io.BytesIO()
    Image.fromarray(pixels(seed)[0]).save(buffer, format="PNG")
    return Incoming(body=buffer.getvalue(), content_type="image/png", extras=EXTRAS[0])


def listed(*seeds: int) -> Incoming:
    body = json.dumps({"instances": [pixels(seed).tolist() for seed in seeds]}).encode()
    return Incoming(body=body, content_type=JSON, extras=EXTRAS[0])


def tensor(seed: int) -> Incoming:
    described = {"name": "image", "shape": [1, *GREY.shape], "datatype": "UINT8", "data": pixels(seed).ravel().tolist()}
    return Incoming(body=json.dumps({"inputs": [described]}).encode(), content_type=JSON, extras=EXTRAS[0])


def without_an_answer(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    model = predictor._model

    def answer(inputs: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        if (inputs["image"] == WRONG).all(axis=(1, 2, 3)).any():
            raise RuntimeError("index 77 is out of bounds")
        return model(inputs)

    monkeypatch.setattr(predictor, "_model", answer)


def test_each_request_of_a_batch_gets_the_response_that_it_gets_alone(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_an_answer(predictor, monkeypatch)
    requests: list[Incoming | Exception] = [
        *(raw(seed, extras) for seed, extras in enumerate(EXTRAS)),
        Incoming(body=bytes([WRONG] * 48), content_type=RAW, extras=EXTRAS[0]),
        png(4),
        Incoming(body=b"hello", content_type="text/plain", extras=EXTRAS[0]),
        tensor(5),
        listed(6),
        BadRequest("a body that was not read", expected="another", found="this"),
        listed(7, 8, 9),
        Incoming(body=object(), content_type=RAW, extras=EXTRAS[0]),
        raw(10),
        RuntimeError("the front failed"),
        raw(0),
    ]
    alone = [response for request in requests for response in respond(predictor, [request])]
    assert [response.status for response in alone] == [200] * 4 + [
        422,
        200,
        415,
        200,
        200,
        400,
        200,
        400,
        200,
        500,
        200,
    ]
    assert respond(predictor, requests) == alone
    assert respond(predictor, requests[::-1]) == alone[::-1]
    assert alone[0] == alone[-1] != alone[1]
    assert respond(predictor, []) == []


def test_an_answer_has_the_bytes_of_its_document(predictor: Predictor) -> None:
    instance = {"image": pixels(0)}
    logits = predictor.predict([instance])
    for extras in EXTRAS:
        document = predictor.answer(logits[0], with_logits=extras.logits)
        if extras.decoded:
            document["decoded"] = {"image": hashlib.sha256(instance["image"].tobytes()).hexdigest()}
        expected = json.dumps(document, separators=(",", ":")).encode()
        request = Request(instances=(instance,), form="raw", listed=False)
        assert encode_response(predictor, request, logits, extras) == expected
        assert respond(predictor, [raw(0, extras)])[0].body == expected
        many = Request(instances=(instance,) * 3, form="instances", listed=True)
        body = encode_response(predictor, many, np.repeat(logits, 3, axis=0), extras)
        assert body == b'{"predictions":[%s]}' % b",".join([expected] * 3)


def test_where_no_form_has_room_for_an_answer_nothing_of_a_body_matters(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (answer_size, tensor_answer):
        monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 100)
    monkeypatch.setattr(predictor, "answer_rooms", AnswerRooms(predictor.serving))
    for body, media in ((b"", RAW), (b"hello", "text/plain"), (pixels(0).tobytes(), RAW)):
        [response] = respond(predictor, [Incoming(body=body, content_type=media, extras=EXTRAS[0])])
        assert (response.status, json.loads(response.body)["error"]) == (413, "answer too large")


def test_a_raw_body_of_the_right_length_is_no_picture(predictor: Predictor) -> None:
    values: Sequence[int] = [*png(0).body[:48]]
    [response] = respond(predictor, [Incoming(body=bytes(values), content_type=RAW, extras=Extras(decoded=True))])
    assert json.loads(response.body)["decoded"] == {"image": hashlib.sha256(bytes(values)).hexdigest()}


@pytest.mark.parametrize("step", ["decode", "predict"])
def test_a_request_that_is_held_up_gets_the_time_that_the_others_left(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Another program may take the processor for seconds; that is not the request's fault."""
    clock = SimpleNamespace(now=0.0)
    clock.monotonic = lambda: clock.now
    monkeypatch.setattr(limits, "time", clock)
    requests = [listed(*range(first, first + 8 + first)) for first in range(3)]
    calls: list[int] = []

    def held_up_once(work: Any) -> Any:
        def do(*arguments: Any, **options: Any) -> Any:
            if not calls:
                clock.now += 4.0
            calls.append(1)
            return work(*arguments, **options)

        return do

    if step == "decode":
        monkeypatch.setattr("pipeline._handlers.exchange.decode_request", held_up_once(decode_request))
    else:
        monkeypatch.setattr(predictor, "_model", held_up_once(predictor._model))
    responses = respond(predictor, requests, Deadline(10.0))
    assert [response.status for response in responses] == [200, 200, 200]
    assert len(calls) > 3
