"""The adapter, driven with TorchServe's own context and loader, without its server."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from handlers import torchserve_handler
from handlers.predictor import Predictor, Refusal
from handlers.torchserve_handler import DECODED_HEADER, LOGITS_HEADER, WORKER_HEADER, Handler
from pipeline.serving.client import encode_png
from tests.served_models import GREY, build_archive

with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves its version file open
    from ts.context import Context, RequestProcessor
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


def test_what_a_stock_server_parsed_spoils_no_other(handler: Handler, caplog: pytest.LogCaptureFixture) -> None:
    unforeseen = {"a": 1, 2: "no JSON has such a key"}
    bodies = [[1, 2], PNG, 3, None, unforeseen]
    context, answers = ask(handler, [(body, "application/json" if body is not PNG else "image/png") for body in bodies])
    assert [context.get_response_status(index)[0] for index in range(5)] == [400, 200, 400, 400, 500]
    assert "label" in answers[1]
    for index, found in ((0, "list"), (2, "int"), (3, "NoneType")):
        assert answers[index] == {
            "error": "JSON of the wrong form",
            "expected": 'an object with the one key "instances"',
            "found": found,
        }
    assert answers[4]["error"] == "the request cannot be decoded"
    assert answers[4]["found"].startswith("'<' not supported between instances of")
    assert "request 4 of 5 cannot be decoded" in caplog.text


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


def test_the_field_of_a_multipart_form_is_the_body(handler: Handler) -> None:
    context = Context("tiny", "", None, 1, None, "0.12.0")
    context.request_processor = [RequestProcessor({"photo": {"content-type": "image/png"}})]
    assert "label" in json.loads(handler.handle([{"photo": PNG}], context)[0])


def test_a_model_that_fails_on_one_request_answers_the_others(
    handler: Handler, caplog: pytest.LogCaptureFixture
) -> None:
    model = handler._predictor._model

    def fails_on_zeros(inputs: Any) -> Any:
        logits = model(inputs)
        logits[~inputs["image"].any(axis=(1, 2, 3))] = np.nan
        return logits

    handler._predictor._model = fails_on_zeros
    context, answers = ask(handler, [(PNG, "image/png"), (bytes(48), "application/octet-stream")])
    assert [context.get_response_status(index)[0] for index in range(2)] == [200, 500]
    assert "label" in answers[0]
    assert answers[1]["found"] == "candidate float.onnx.fp32 answered with NaN or infinity"
    assert "prediction failed for 2 requests" in caplog.text


def test_sources_from_elsewhere_are_refused(tmp_path: Path) -> None:
    build_archive(tmp_path / "made", [GREY]).unpack(tmp_path / "unpacked")
    context = Context("tiny", str(tmp_path / "unpacked"), None, 1, None, "0.12.0")
    with pytest.raises(Refusal, match=r"predictor\.py: expected the archive's own handler sources in "):
        Handler().initialize(context)


def test_torchserve_finds_exactly_one_class() -> None:
    assert list_classes_from_module(torchserve_handler) == [Handler]
    assert not hasattr(torchserve_handler, "handle")
