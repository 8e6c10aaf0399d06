"""The adapter, driven with TorchServe's own context and loader, without its server."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import socket
import struct
import threading
import time
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers import limits, torchserve_handler
from pipeline._handlers.answer_size import Extras
from pipeline._handlers.exchange import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER, Incoming
from pipeline._handlers.frame import BEGIN_BY_HEADER, FRAME_MEDIA, pack_requests, unpack_responses
from pipeline._handlers.limits import Limits
from pipeline._handlers.predictor import Predictor, Refusal
from pipeline._handlers.torchserve_handler import Handler, take_requests_as_sent
from pipeline._handlers.torchserve_reading import read_in_packets
from pipeline.serving.encoding import encode_png
from tests.clocks import Clock
from tests.served_models import GREY, build_archive

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves its version file open
    from ts.context import Context, RequestProcessor
    from ts.protocol import otf_message_handler
    from ts.service import Service
    from ts.utils.util import list_classes_from_module

PNG = encode_png(np.arange(48, dtype=np.uint8).reshape(1, 8, 6))


@pytest.fixture
def handler(tmp_path: Path) -> Handler:
    build_archive(tmp_path / "made", [GREY]).unpack(tmp_path / "unpacked")
    handler = Handler()
    # `initialize` insists on the archive's own copy of these sources; tests/e2e has workers that use it.
    handler._predictor = Predictor.load(tmp_path / "unpacked")
    return handler


def ask(handler: Handler, rows: Sequence[tuple[Any, str]], **headers: str) -> tuple[Context, list[dict[str, Any]]]:
    context = Context("tiny", "", None, len(rows), None, "0.12.0")
    context.request_processor = [RequestProcessor({"body": {"content-type": form}, **headers}) for _, form in rows]
    bodies = handler.handle([{"body": body} for body, _ in rows], context)
    assert all(isinstance(body, bytes) for body in bodies)
    return context, [json.loads(body) for body in bodies]


def test_one_bad_request_spoils_no_other(handler: Handler) -> None:
    context, answers = ask(
        handler,
        [
            (PNG, "image/png"),
            (b"garbage", "image/png"),
            (b'{"instances": [[[[0,0],[0,0]]]]}', "application/json"),
            (bytearray(PNG), "application/x-www-form-urlencoded"),
            (json.dumps({"instances": [np.arange(48).reshape(1, 8, 6).tolist()] * 2}).encode(), "application/json"),
            (b"", ""),
            (bytes(range(48)), "application/octet-stream"),
        ],
    )
    statuses = [context.get_response_status(index)[0] for index in range(len(answers))]
    assert statuses == [200, 400, 400, 200, 200, 400, 200]
    good = answers[0]
    assert answers[3] == good == answers[6]
    assert answers[4] == {"predictions": [good, good]}
    for index in (1, 2, 5):
        assert set(answers[index]) == {"error", "expected", "found"}
        assert context.get_response_status(index)[1] == "Bad Request"
    for index in range(len(answers)):
        headers = context.get_response_headers(index)
        assert headers == {"content-type": "application/json", WORKER_HEADER: str(os.getpid())}


def test_what_a_server_parsed_itself_spoils_no_other(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    bodies = [[1, 2], PNG, 3, None, {"a": 1, 2: "no JSON has such a key"}, PNG]
    kinds: list[Any] = ["application/json" if body is not PNG else "image/png" for body in bodies]
    kinds[-1] = 7
    context, answers = ask(handler, list(zip(bodies, kinds, strict=True)))
    assert [context.get_response_status(index)[0] for index in range(6)] == [400, 200, 400, 400, 400, 500]
    assert "label" in answers[1]
    for index, found in ((0, "list"), (2, "int"), (3, "NoneType"), (4, "an object with the keys ['2', 'a']")):
        assert answers[index] == {
            "error": "JSON of the wrong form",
            "expected": '{"instances": [{"b64": "<base64 of a picture file>"}]}',
            "found": found,
        }
    assert answers[5] == {
        "error": "the request cannot be decoded",
        "found": "'int' object has no attribute 'lower'",
    }
    assert "request 5 of its batch cannot be read" in caplog.text


def test_logits_are_told_on_request(handler: Handler) -> None:
    for name in (LOGITS_HEADER, LOGITS_HEADER.lower()):
        _, (answer,) = ask(handler, [(PNG, "image/png")], **{name: "1"})
        assert len(answer["logits"]) == 5


def test_what_was_decoded_is_told_on_request(handler: Handler) -> None:
    digest = hashlib.sha256(bytes(range(48))).hexdigest()
    instances = json.dumps({"instances": [np.arange(48).reshape(1, 8, 6).tolist()] * 2}).encode()
    rows = [(PNG, "image/png"), (bytes(range(48)), "application/octet-stream"), (instances, "application/json")]
    _, (picture, raw, listed) = ask(handler, rows, **{DECODED_HEADER: "1"})
    for answer in (picture, raw, *listed["predictions"]):
        assert answer["decoded"] == {"image": digest}


@pytest.mark.parametrize(("left_s", "status"), [(60.0, 200), (-0.001, 503)])
def test_a_frame_that_waited_too_long_costs_no_work(handler: Handler, left_s: float, status: int) -> None:
    frame = pack_requests([Incoming(body=PNG, content_type="image/png", extras=Extras())] * 3)
    context = Context("tiny", "", None, 1, None, "0.12.0")
    begin_by = f"{time.monotonic() + left_s:.3f}"
    context.request_processor = [RequestProcessor({"content-type": FRAME_MEDIA, BEGIN_BY_HEADER: begin_by})]
    [body] = handler.handle([{"body": frame}], context)
    responses, steps = unpack_responses(body)
    assert [response.status for response in responses] == [status] * 3
    assert steps.examples == (3 if status == 200 else 0)


def ask_parameters(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, parameters: Sequence[tuple[str, str, bytes]], **headers: str
) -> tuple[int, dict[str, Any]]:
    """One request's fields by name, content type and value, on the way through TorchServe's own worker."""
    monkeypatch.setattr(Service, "retrieve_data_for_inference", Service.retrieve_data_for_inference)
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "true")
    take_requests_as_sent()
    message = {
        "requestId": b"1",
        "headers": [{"name": name.encode(), "value": value.encode()} for name, value in headers.items()],
        "parameters": [{"name": name, "contentType": kind, "value": value} for name, kind, value in parameters],
    }
    context = Context("tiny", "", None, 1, None, "0.12.0")
    context.request_processor, rows, _ = Service.retrieve_data_for_inference([message])
    (body,) = handler.handle(rows, context)
    return context.get_response_status(0)[0], json.loads(body)


PICTURE = ("data", "image/png", PNG)
TEXT = ("user", "", b"42")
OTHER = ("data", "image/png", encode_png(np.zeros((1, 8, 6), dtype=np.uint8)))


@pytest.mark.parametrize(
    "parameters",
    [
        [("photo", "image/png", PNG)],
        [("photo", "", PNG)],
        [PICTURE, TEXT],
        [TEXT, PICTURE, TEXT],
        [("data", "", b"42"), PICTURE],
        [("user", "", b"42"), ("body", "image/png", PNG)],
        [("body", "", b"42"), ("body", "image/png", PNG)],
    ],
)
def test_the_one_picture_of_a_request_is_answered(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, parameters: list[tuple[str, str, bytes]]
) -> None:
    _, (alone,) = ask(handler, [(PNG, "image/png")])
    assert ask_parameters(handler, monkeypatch, parameters) == (200, alone)


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ([PICTURE, OTHER], '"data (1)" (a picture), "data (2)" (a picture)'),
        ([PICTURE, PICTURE, TEXT], '"data (1)" (a picture), "data (2)" (a picture), "user"'),
        ([PICTURE, ("data (1)", "", PNG), OTHER], '"data (2)" (a picture), "data (1)" (a picture), "data (3)" (a'),
        ([("body", "image/png", PNG), PICTURE], '"body" (a picture), "data" (a picture)'),
        ([TEXT, TEXT], '"user (1)", "user (2)"'),
        ([("body", "", b"1"), ("body", "application/json", b"{}")], '"body (1)", "body (2)"'),
        ([("x" * 99, "", b""), TEXT], f'"{"x" * 40}...", "user"'),
        ([(str(number), "", b"") for number in range(9)], '"0", "1", "2", "3", "4", "5", "6", "7", and 1 more'),
    ],
)
def test_of_several_fields_none_is_dropped(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, parameters: list[tuple[str, str, bytes]], named: str
) -> None:
    status, answer = ask_parameters(handler, monkeypatch, parameters)
    assert (status, answer["error"]) == (400, "several fields in one request")
    assert answer["found"].startswith(f"the fields {named}")


@pytest.mark.parametrize("dropped", [0, 200, 20_000])
def test_a_form_that_lost_a_field_on_the_way_is_refused(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, dropped: int
) -> None:
    size = len(PNG) + 90 + dropped  # boundary and headers, and a field whose end the server did not find
    headers = {"content-type": "multipart/form-data; boundary=mark", "content-length": str(size)}
    status, answer = ask_parameters(handler, monkeypatch, [PICTURE], **headers)
    # A lost field of some hundred bytes cannot be told from a long file name.
    expected = (400, "a form with a field that is cut") if dropped > 1536 else (200, None)
    assert (status, answer.get("error")) == expected


def test_a_form_without_a_field(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"content-type": "multipart/form-data; boundary=mark", "content-length": "8"}
    status, answer = ask_parameters(handler, monkeypatch, [], **headers)
    assert (status, answer["error"]) == (400, "no field in the request")


def test_json_beside_parameters_in_the_address(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = b'{"instances": [], "instances": []}'
    status, answer = ask_parameters(handler, monkeypatch, [TEXT, ("body", "application/json", twice)])
    assert (status, answer["error"]) == (400, "JSON object with a key twice")
    assert os.environ["TS_DECODE_INPUT_REQUEST"] == "false"


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({"content-type": "image/png"}, 200, None),
        ({"Content-Type": "Image/PNG; q=1"}, 200, None),
        ({"content-encoding": "identity", "transfer-encoding": "chunked"}, 200, None),
        ({"Content-Encoding": "GZIP"}, 415, "packed request body"),
        ({"transfer-encoding": "gzip"}, 415, "packed request body"),
        ({"Content-Type": "application/json", "content-type": "image/png"}, 400, "several content types"),
        ({"content-type": "application/json"}, 400, "several content types"),
    ],
)
def test_headers_that_say_what_a_body_is(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str], status: int, error: str | None
) -> None:
    found, answer = ask_parameters(handler, monkeypatch, [("body", "image/png", PNG)], **headers)
    assert (found, answer.get("error")) == (status, error)


def test_a_header_called_as_the_body_takes_nothing_from_it(handler: Handler, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"body": "x", "content-type": "application/octet-stream"}
    status, _ = ask_parameters(handler, monkeypatch, [("body", headers["content-type"], bytes(range(48)))], **headers)
    assert status == 200


def test_an_answer_that_the_server_would_not_send_on_is_not_made(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline._handlers import answer_size
    from pipeline._handlers.body_forms import AnswerRooms

    rows = [(json.dumps({"instances": [np.arange(48).reshape(1, 8, 6).tolist()] * 9}).encode(), "application/json")]
    _, (whole,) = ask(handler, rows, **{LOGITS_HEADER: "1"})
    assert len(whole["predictions"]) == 9
    monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", len(json.dumps(whole, separators=(",", ":"))))
    handler._predictor.answer_rooms = AnswerRooms(handler._predictor.serving)

    def predict(*_: Any) -> None:
        raise AssertionError("the model is asked")

    most = handler._predictor.answer_rooms.room("instances", answer_size.Extras(logits=True)).most
    assert 1 < most < 9
    with monkeypatch.context() as patched:
        patched.setattr(Predictor, "predict", predict)
        context, (answer,) = ask(handler, rows, **{LOGITS_HEADER: "1"})
    assert context.get_response_status(0) == (413, "Request Entity Too Large")
    assert answer == {
        "error": "answer too large",
        "expected": f"at most {most} instances in a request for logits",
        "found": "more",
    }
    context, _ = ask(handler, rows)
    assert context.get_response_status(0)[0] == 200


def test_no_request_is_decoded_behind_the_deadline(handler: Handler) -> None:
    handler._predictor.limits = Limits(pixels=1000, seconds=1e-9)
    context, (late, bad) = ask(handler, [(PNG, "image/png"), (b"", "")])
    for index, answer in enumerate((late, bad)):
        assert context.get_response_status(index) == (503, "Service Unavailable")
        assert answer["error"] == "no answer in time"


def test_a_request_that_is_slow_to_decode_takes_the_time_of_no_other(
    handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "time", Clock())
    handler._predictor.limits = Limits(pixels=10_000, seconds=200)
    slow = json.dumps({"instances": np.ones((900, 1, 8, 6), dtype=int).tolist()}).encode()
    context, (refused, *answers) = ask(handler, [(slow, "application/json"), (PNG, "image/png"), (PNG, "image/png")])
    assert context.get_response_status(0)[0] == 413
    assert refused["error"] == "more instances than are answered in time"
    for index, answer in enumerate(answers, start=1):
        assert context.get_response_status(index)[0] == 200
        assert "label" in answer


def test_a_picture_is_held_against_the_limits_of_the_model(handler: Handler) -> None:
    handler._predictor.limits = Limits(pixels=5000)
    large = encode_png(np.zeros((1, 70, 80), dtype=np.uint8))
    context, (answer, good) = ask(handler, [(large, "image/png"), (PNG, "image/png")])
    assert context.get_response_status(0)[0] == 413
    assert (answer["expected"], answer["found"]) == ("at most 5000 pixels", "80 x 70")
    assert "label" in good


@pytest.mark.parametrize("packet", [7, 1000, 100_000])
def test_what_is_read_in_packets_is_what_was_sent(monkeypatch: pytest.MonkeyPatch, packet: int) -> None:
    for name in ("_retrieve_buffer", "_retrieve_input_data"):
        monkeypatch.setattr(otf_message_handler, name, getattr(otf_message_handler, name))
    read_in_packets()
    generator = np.random.default_rng(0)
    bodies = [generator.bytes(size) for size in (0, 1, 65_535, 65_536, 65_537, 200_000, 3)]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for body in bodies:
            message = b"I" + length(b"id") + b"id" + length(b"name") + b"name" + length(b"value") + b"value" + END
            message += length(b"body") + b"body" + length(b"image/png") + b"image/png" + length(body) + body + END + END

            def send(message: bytes = message) -> None:
                for place in range(0, len(message), packet):
                    theirs.sendall(message[place : place + packet])

            sender = threading.Thread(target=send)
            sender.start()
            command, (request,) = otf_message_handler.retrieve_msg(ours)
            sender.join()
            assert (command, request["requestId"]) == (b"I", b"id")
            assert request["headers"] == [{"name": b"name", "value": b"value"}]
            assert request["parameters"] == [{"name": "body", "contentType": "image/png", "value": body}]
        theirs.close()
        with pytest.raises(SystemExit):
            otf_message_handler.retrieve_msg(ours)


@pytest.mark.parametrize("count", [999, 1000, 1001, 50_000])
def test_fields_beyond_a_thousand_are_stepped_over(
    handler: Handler, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    for name in ("_retrieve_buffer", "_retrieve_input_data"):
        monkeypatch.setattr(otf_message_handler, name, getattr(otf_message_handler, name))
    read_in_packets()
    fields = b"".join(
        length(b"%d" % number) + b"%d" % number + length(b"") + length(b"1") + b"1" for number in range(count)
    )
    message = b"I" + length(b"id") + b"id" + END + fields + END + END
    requests = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(2):  # the second request is read from its beginning
            sender = threading.Thread(target=theirs.sendall, args=(message,))
            sender.start()
            requests += otf_message_handler.retrieve_msg(ours)[1]
            sender.join()
    assert [len(request["parameters"]) for request in requests] == [min(count, 1000)] * 2
    context = Context("tiny", "", None, 1, None, "0.12.0")
    context.request_processor, rows, _ = Service.retrieve_data_for_inference(requests[1:])
    (body,) = handler.handle(rows, context)
    refusal = (413, "too many fields in one request") if count >= 1000 else (400, "several fields in one request")
    assert (context.get_response_status(0)[0], json.loads(body)["error"]) == refusal


END = struct.pack("!i", -1)


def length(content: bytes) -> bytes:
    return struct.pack("!i", len(content))


@pytest.mark.parametrize(
    "body", [b'{"instances": [' + b"[" * 1_000_000, b'{"instances": [{"b64": "' + b"x" * 1_000_000]
)
def test_nothing_of_a_refused_request_stays(handler: Handler, body: bytes) -> None:
    ask(handler, [(body, "application/json")])
    gc.collect()
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(5):
            context, _ = ask(handler, [(bytearray(body), "application/json")])
            assert context.get_response_status(0)[0] == 400
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert left < len(body)


def test_sources_from_elsewhere_are_refused(tmp_path: Path) -> None:
    build_archive(tmp_path / "made", [GREY]).unpack(tmp_path / "unpacked")
    context = Context("tiny", str(tmp_path / "unpacked"), None, 1, None, "0.12.0")
    with pytest.raises(Refusal, match=r"predictor\.py: expected the archive's own handler sources in "):
        Handler().initialize(context)


def test_torchserve_finds_exactly_one_class() -> None:
    assert list_classes_from_module(torchserve_handler) == [Handler]
    assert not hasattr(torchserve_handler, "handle")
