"""The addresses of KServe's protocols: descriptions, content types, refusals, and bodies of the first version."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request, encode_response, form_of
from pipeline._handlers.json_instances import V1_MEDIA
from pipeline._handlers.json_text import SMALL_JSON_BYTES
from pipeline._handlers.open_inference import (
    TENSORS_MEDIA,
    infer_content_type,
    model_metadata,
    refusal_body,
    server_metadata,
)
from pipeline._handlers.predictor import Predictor
from tests.request_bodies import JSON, PIXELS, png
from tests.served_models import GREY, LABELS, SEQUENCE, TABLE, build_archive
from tests.several_outputs import SPECS

B64 = {"b64": base64.b64encode(png()).decode()}
V1_EXAMPLE = '{"instances": [{"b64": "<base64 of a picture file>"}]}'


def test_a_model_is_described_with_the_tensors_that_it_takes_and_gives(tmp_path: Path) -> None:
    serving = replace(build_archive(tmp_path, [GREY]).serving, inputs=(GREY, TABLE, replace(SEQUENCE, shape=(6, 2))))
    document = model_metadata(serving, "d" * 64)
    assert json.loads(json.dumps(document)) == document
    assert document == {
        "name": "tiny",
        "versions": ["1.0"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 6]},
            {"name": "features", "datatype": "FP32", "shape": [-1, 4]},
            {"name": "tokens", "datatype": "INT64", "shape": [-1, -1, 2]},
        ],
        "outputs": [
            {"name": "logits", "datatype": "FP32", "shape": [-1, 5]},
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "class_id", "datatype": "INT64", "shape": [-1]},
            {"name": "probability", "datatype": "FP64", "shape": [-1]},
        ],
        "properties": {"digest": "d" * 64, "task": "classification", "labels": json.dumps(LABELS)},
    }


@pytest.mark.parametrize(
    ("task", "outputs"),
    [
        ("multi-label", {"logits": ("FP32", [-1, 5]), "given": ("BOOL", [-1, 5]), "probability": ("FP64", [-1, 5])}),
        ("regression", {"values": ("FP32", [-1, 5])}),
        ("outputs", {spec.name: ("FP32", [-1, *spec.shape]) for spec in SPECS}),
    ],
)
def test_each_task_has_its_tensors(tmp_path: Path, task: Any, outputs: dict[str, Any]) -> None:
    serving = replace(build_archive(tmp_path, [GREY]).serving, task=task)
    if task == "outputs":
        runtime = replace(serving.runtime, kind="torchscript", outputs=SPECS)
        serving = replace(serving, labels=tuple(spec.name for spec in SPECS), runtime=runtime)
    document = model_metadata(serving, "")
    assert {output["name"]: (output["datatype"], output["shape"]) for output in document["outputs"]} == outputs
    assert document["platform"] == ("pytorch_torchscript" if task == "outputs" else "onnx_onnxv1")


def test_the_server_names_its_extensions() -> None:
    assert server_metadata("1.2") == {"name": "pipeline", "version": "1.2", "extensions": ["binary_tensor_data"]}


@pytest.mark.parametrize(
    ("header", "content_type"),
    [
        (None, TENSORS_MEDIA),
        ("0", f"{TENSORS_MEDIA}; header-length=0"),
        (" 417\t", f"{TENSORS_MEDIA}; header-length=417"),
    ],
)
def test_the_header_becomes_a_content_type(header: str | None, content_type: str) -> None:
    assert infer_content_type(header) == content_type
    assert form_of(b"", content_type, [GREY]) == "tensors"


@pytest.mark.parametrize("header", ["", "-1", "+1", "1.0", "1e3", "0x10", "\u0661", "1, 1", "99999999999", "1\n"])
def test_a_header_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        infer_content_type(header)
    assert (caught.value.error, caught.value.found) == ("wrong Inference-Header-Content-Length", header)


def test_a_refusal_says_all_of_it_where_clients_look() -> None:
    refusal = BadRequest("wrong shape", expected="[-1, 4]", found="[4]")
    assert json.loads(refusal_body(refusal)) == {
        "error": "wrong shape: expected [-1, 4], found [4]",
        "expected": "[-1, 4]",
        "found": "[4]",
    }


@pytest.mark.parametrize("padding", [b"", b" " * SMALL_JSON_BYTES], ids=["small", "large"])
@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_bodies_of_the_first_version_have_either_key(tmp_path: Path, key: str, padding: bytes) -> None:
    build_archive(tmp_path, [GREY]).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    body = json.dumps({key: [PIXELS.tolist(), B64, {"image": B64}]}).encode() + padding
    request = decode_request(body, V1_MEDIA, [GREY])
    assert (request.form, len(request.instances)) == ("instances", 3)
    for instance in request.instances:
        np.testing.assert_array_equal(instance["image"], PIXELS)
    answer = json.loads(encode_response(predictor, request, predictor.predict(request.instances), Extras()))
    assert list(answer) == ["predictions"]
    assert [prediction["label"] in LABELS for prediction in answer["predictions"]] == [True] * 3


@pytest.mark.parametrize("padding", [b"", b" " * SMALL_JSON_BYTES], ids=["small", "large"])
@pytest.mark.parametrize(
    "document",
    [
        {"signature_name": "serving_default", "instances": [B64]},
        {"instances": [B64], "inputs": [B64]},
        {"inputs": [B64], "instances": [B64]},
        {"inputs": {"image": [B64]}},
        {"instances": [{"image_bytes": B64, "key": "1"}]},
        {"instances": [{"image_bytes": B64}]},
        {},
    ],
)
def test_what_the_first_version_does_not_mean_is_told_what_works(document: object, padding: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        decode_request(json.dumps(document).encode() + padding, V1_MEDIA, [GREY])
    assert V1_EXAMPLE in caught.value.expected
    assert caught.value.status == 400


def test_elsewhere_the_other_key_is_another_form() -> None:
    with pytest.raises(
        BadRequest, match=r"wrong inputs: expected .*; a list of examples stands under the key instances"
    ):
        decode_request(json.dumps({"inputs": [PIXELS.tolist()]}).encode(), JSON, [GREY])
    with pytest.raises(BadRequest, match=r"JSON of the wrong form: .*, found an object with the keys \['inputs'\]"):
        decode_request(b" " * 2000 + json.dumps({"inputs": [PIXELS.tolist()]}).encode(), JSON, [GREY])
