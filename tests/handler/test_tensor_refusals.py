"""Inference requests at fault: each is refused with what was expected and what was found, whatever its size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import AnswerRooms, decode_request
from pipeline._handlers.open_inference import TENSORS_MEDIA
from pipeline._handlers.picture_kinds import PICTURE_FILE
from pipeline._handlers.tensor_request import request_example
from tests.request_bodies import JSON, PIXELS, png
from tests.row_inputs import NAMED
from tests.served_models import GREY, TABLE, build_archive
from tests.tensor_bodies import infer_body, objects, said

FLAT: dict[str, Any] = {"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 0, 1, 0]}
PICTURE: dict[str, Any] = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["QUJD"]}
EXAMPLE = request_example([TABLE])


def test_the_example_is_a_body_that_is_taken() -> None:
    assert EXAMPLE == '{"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [...]}]}'
    body = EXAMPLE.replace("...", "1, 0, 1, 0")
    assert decode_request(body, JSON, [TABLE]).instances


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": 1}, 'input features: unknown key: expected name, shape, datatype, parameters, data, found "more"'),
        ({"name": "other"}, 'wrong inputs: expected features, each once, found "other"'),
        ({"name": None}, "wrong inputs: expected features, each once, found null"),
        ({"datatype": "FP64"}, 'input features: wrong datatype: expected FP32, found "FP64"'),
        ({"datatype": "fp32"}, 'input features: wrong datatype: expected FP32, found "fp32"'),
        ({"datatype": "BYTES"}, 'input features: wrong datatype: expected FP32, found "BYTES"'),
        ({"datatype": ["FP32"]}, "input features: wrong datatype: expected FP32, found a list"),
        ({"datatype": None}, "input features: wrong datatype: expected FP32, found none"),
        ({"shape": [4]}, "input features: wrong shape: expected [-1, 4], found [4]"),
        ({"shape": [1, 4, 1]}, "input features: wrong shape: expected [-1, 4], found [1, 4, 1]"),
        ({"shape": [-1, 4]}, "input features: wrong shape: expected [-1, 4], found [-1, 4]"),
        ({"shape": [True, 4]}, "input features: wrong shape: expected [-1, 4], found a list"),
        ({"shape": [1.0, 4]}, "input features: wrong shape: expected [-1, 4], found [1.0, 4]"),
        ({"shape": [1 << 40, 4]}, "input features: wrong shape: expected [-1, 4], found [1099511627776, 4]"),
        ({"shape": "1, 4"}, 'input features: wrong shape: expected [-1, 4], found "1, 4"'),
        ({"shape": None}, "input features: wrong shape: expected [-1, 4], found none"),
        ({"shape": []}, "input features: wrong shape: expected [-1, 4], found []"),
        (
            {"shape": [0, 4], "data": []},
            "input features: examples of the wrong number: expected 1 to 1024 on the first axis of its shape, found 0",
        ),
        (
            {"shape": [1025, 4]},
            (
                "input features: examples of the wrong number: expected 1 to 1024 on the first axis of its shape, "
                "found 1025"
            ),
        ),
        ({"data": [1, 0, 1]}, "input features: wrong number of values: expected 4, as its shape says, found 3"),
        ({"data": [1, 0, 1, 0, 1]}, "input features: wrong number of values: expected 4, as its shape says, found 5"),
        ({"data": [[1, 0, 1]]}, "instance 0, input features: wrong shape: expected [4], found [3]"),
        ({"data": [[[1, 0, 1, 0]]]}, "instance 0, input features: wrong shape: expected [4], found [1, 4]"),
        (
            {"data": [[1, 0, 1, 0]] * 2},
            "input features: examples of the wrong number: expected 1, as its shape says, found more",
        ),
        (
            {"shape": [3, 4], "data": [[1, 0, 1, 0]] * 2},
            "input features: examples of the wrong number: expected 3, as its shape says, found 2",
        ),
        ({"data": [1, 0, 1, [0]]}, "input features: wrong dtype: expected numbers, found list"),
        ({"data": [[1, 0, 1, 0], 1], "shape": [2, 4]}, "instance 1, input features: wrong shape: expected"),
        ({"data": [1, 0, 1, "0"]}, "input features: wrong dtype: expected numbers, found text"),
        ({"data": [1, 0, 1, True]}, "input features: wrong dtype: expected numbers, found true or false"),
        (
            {"data": [1, 0, 1, None]},
            "input features: wrong dtype: expected numbers; this input has no missing values, found null",
        ),
        ({"data": [1, 0, 1, 3]}, "input features: value out of its domain at [0, 3]: expected -2 to 2, found 3"),
        (
            {"data": [1, 0, 1e300, 0]},
            (
                "input features: non-finite value at [0, 2]: expected finite numbers; this input has no missing "
                "values, found inf"
            ),
        ),
        ({"data": [1, 0, float("inf"), 0]}, "non-finite value in JSON: expected finite numbers; this input has no"),
        ({"data": [1, 0, 10**400, 0]}, "input features: wrong dtype: expected numbers, found a number that 64 bits"),
        ({"data": "1, 0, 1, 0"}, "input features: wrong data: expected a list, found str"),
        ({"data": {"0": 1}}, "input features: wrong data: expected a list, found dict"),
        (
            {"data": None},
            (
                "input features: wrong values: expected either data in the JSON, or the parameter binary_data_size, "
                "found neither"
            ),
        ),
        (
            {"parameters": {"binary_data_size": 16}},
            (
                "input features: wrong values: expected either data in the JSON, or the parameter binary_data_size, "
                "found both"
            ),
        ),
        (
            {"parameters": {"binary_data_size": 15}, "data": None},
            "input features: wrong binary_data_size: expected 16 bytes (FP32 of shape [1, 4]), found 15",
        ),
        (
            {"parameters": {"binary_data_size": "16"}, "data": None},
            'input features: wrong binary_data_size: expected 16 bytes (FP32 of shape [1, 4]), found "16"',
        ),
        (
            {"parameters": {"binary_data_size": 16}, "data": None},
            "binary data of the wrong length: expected 16 bytes behind the JSON, as binary_data_size says, found 0 byt",
        ),
        (
            {"parameters": {"shared_memory_region": "r", "shared_memory_byte_size": 16}, "data": None},
            'input features: parameter that is not taken: expected binary_data_size at most, found "shared_memory_reg',
        ),
        ({"parameters": [1]}, "input features: wrong parameters: expected an object, found [1]"),
    ],
)
def test_a_tensor_at_fault_is_named(change: dict[str, Any], message: str) -> None:
    assert said(json.dumps({"inputs": [FLAT | change]}).encode(), JSON, TABLE).startswith(message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"more": 1}, 'the request: unknown key: expected id, model_name, parameters, inputs, outputs, found "more"'),
        ({"inputs": []}, "wrong inputs: expected features, each once, found none"),
        ({"inputs": [FLAT, FLAT]}, 'wrong inputs: expected features, each once, found "features", "features"'),
        (
            {"inputs": {"features": [[1, 0, 1, 0]]}},
            f"wrong inputs: expected {EXAMPLE}; a list of examples stands under ",
        ),
        (
            {"inputs": [[1, 0, 1, 0]]},
            (
                f"wrong inputs: expected {EXAMPLE}; a list of examples stands under the key instances, found a list "
                "with [1, 0, 1, 0] in it"
            ),
        ),
        ({"id": 7}, "wrong id: expected text of at most 256 characters, found 7"),
        ({"id": "7" * 257}, 'wrong id: expected text of at most 256 characters, found "777'),
        ({"model_name": 7}, "wrong model_name: expected text, found 7"),
        (
            {"parameters": {"priority": 1}},
            "the request: parameter that is not taken: expected binary_data_output at mo",
        ),
        (
            {"parameters": {"binary_data_output": 1}},
            "the request: wrong parameter binary_data_output: expected true or ",
        ),
        ({"parameters": "none"}, 'the request: wrong parameters: expected an object, found "none"'),
        ({"outputs": {"name": "logits"}}, 'wrong outputs: expected a list of {"name": ...}, found an object'),
        ({"outputs": ["logits"]}, 'wrong outputs: expected a list of {"name": ...}, found "logits"'),
        (
            {"outputs": [{"name": "other"}]},
            'wrong outputs: expected some of logits, label, class_id, probability, each once, found "other"',
        ),
        (
            {"outputs": [{"name": "label"}] * 2},
            'wrong outputs: expected some of logits, label, class_id, probability, each once, found "label" twice',
        ),
        (
            {"outputs": [{"name": "label", "data": []}]},
            'output "label": unknown key: expected name, parameters, found "',
        ),
        (
            {"outputs": [{"name": "logits", "parameters": {"classification": 3, "binary_data": True}}]},
            (
                'output "logits": parameter classification, which is not taken: expected an output without it; the '
                "outputs are logits, label, class_id, probability, found classification"
            ),
        ),
        (
            {"outputs": [{"name": "logits", "parameters": {"binary_data": 1}}]},
            'output "logits": wrong parameter binary_data: expected true or false, found 1',
        ),
        (
            {"outputs": [{"name": "logits", "parameters": {"shared_memory_region": "r"}}]},
            'output "logits": parameter that is not taken: expected binary_data at most, found "shared_memory_region"',
        ),
        (
            {"outputs": [{"name": "logits", "parameters": 1}]},
            'output "logits": wrong parameters: expected an object, f',
        ),
    ],
)
def test_a_request_at_fault_is_named(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    rooms = AnswerRooms(build_archive(tmp_path, [TABLE]).serving)
    body = json.dumps({"inputs": [FLAT], **change}).encode()
    with pytest.raises(BadRequest) as caught:
        decode_request(body, JSON, [TABLE], rooms=lambda form: rooms.room(form, Extras()))
    assert str(caught.value).startswith(message)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[1]", f"JSON of the wrong form: expected {EXAMPLE}, found [1]"),
        (b'"text"', f'JSON of the wrong form: expected {EXAMPLE}, found "text"'),
        (b"{}", f"JSON of the wrong form: expected {EXAMPLE}, found an object with the keys []"),
        (
            b'{"instances": [[1, 0, 1, 0]]}',
            f"JSON of the wrong form: expected {EXAMPLE}, found an object with the keys ",
        ),
        (b'{"inputs": [', f"request body is not JSON: expected {EXAMPLE}, found Expecting value"),
        (b'{"inputs": "\xff"}', f"request body is not JSON: expected {EXAMPLE}, found 'utf-8' codec can't decode"),
        (b'{"inputs": [], "inputs": []}', 'JSON object with a key twice: expected each key once, found "inputs"'),
        (b"[" * 60_000, f"request body is not JSON: expected {EXAMPLE}, found"),
    ],
)
def test_what_is_no_request_is_named(body: bytes, message: str) -> None:
    assert said(body, TENSORS_MEDIA, TABLE).startswith(message)


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        (
            "header-length=999",
            "wrong Inference-Header-Content-Length: expected the length of the JSON, at most the 142 ",
        ),
        (
            "header-length=-1",
            f"wrong Inference-Header-Content-Length: expected {TENSORS_MEDIA}; header-length=<number>",
        ),
        (
            "header-length=1e2",
            f"wrong Inference-Header-Content-Length: expected {TENSORS_MEDIA}; header-length=<number",
        ),
        (
            "charset=utf-8",
            f"wrong Inference-Header-Content-Length: expected {TENSORS_MEDIA}; header-length=<number>, fo",
        ),
        ("header-length=125", "request body is not JSON: expected"),
        ("header-length=127", "request body is not JSON: expected"),
    ],
)
def test_a_header_of_another_length_is_named(parameter: str, message: str) -> None:
    body, content_type = infer_body({"features": np.zeros((1, 4), np.float32)}, outputs=[{"name": "l"}])
    assert (len(body), content_type) == (142, f"{TENSORS_MEDIA}; header-length=126")
    assert said(body, f"{TENSORS_MEDIA}; {parameter}", TABLE).startswith(message)


def test_binary_data_is_all_there_and_nothing_more() -> None:
    body, content_type = infer_body({"features": np.zeros((1, 4), np.float32)})
    for wrong, found in ((body[:-1], 15), (body + b"0", 17)):
        assert said(wrong, content_type, TABLE) == (
            "binary data of the wrong length: expected 16 bytes behind the JSON, as binary_data_size says, found "
            f"{found} bytes"
        )
    rows, more = {"features": np.zeros((2, 4), np.float32)}, {"image": PIXELS[np.newaxis]}
    assert said(*infer_body(rows | more), TABLE, GREY) == (
        "input image: another number of examples than input features: expected 2, found 1"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"datatype": "FP32"},
            'input image: wrong datatype: expected UINT8 or, for picture files, BYTES, found "FP32"',
        ),
        ({"shape": [1, 2]}, "input image: wrong shape: expected [-1] or [-1, 1], found [1, 2]"),
        ({"shape": [2]}, "input image: examples of the wrong number: expected 2, as its shape says, found 1"),
        ({"data": [1]}, 'input image: wrong data: expected "datatype": "BYTES", "data": ["<base64 of a picture file>"'),
        ({"data": [None]}, 'input image: wrong data: expected "datatype": "BYTES", "data": ["<base64 of a picture fi'),
        ({"data": [["QUJD"]]}, 'input image: wrong data: expected "datatype": "BYTES", "data": ["<base64 of a pictur'),
        ({"data": "QUJD"}, 'input image: wrong data: expected "datatype": "BYTES", "data": ["<base64 of a picture fil'),
        ({"data": ["QUJD"]}, f"input image: not a picture: expected {PICTURE_FILE}, found 3 bytes beginning"),
        (
            {"data": ["QU JD"]},
            f"instance 0, input image: not base64: expected standard base64 of {PICTURE_FILE}, in on",
        ),
    ],
)
def test_a_tensor_of_pictures_at_fault_is_named(change: dict[str, Any], message: str) -> None:
    assert said(json.dumps({"inputs": [PICTURE | change]}).encode(), JSON, GREY).startswith(message)


def test_binary_pictures_that_are_not_so_divided_are_named() -> None:
    body, content_type = infer_body({"image": objects(png(), b"no")})
    assert said(body, content_type, GREY).startswith("input image: not a picture")
    short = body.replace(b"\x02\0\0\0no", b"\x03\0\0\0no")
    longer = body.replace(b"\x02\0\0\0no", b"\x01\0\0\0no")
    for wrong in (short, longer):
        assert wrong != body
        message = f"input image: wrong binary data: expected 2 of {PICTURE_FILE}, each behind its length in four bytes"
        assert said(wrong, content_type, GREY).startswith(message)


def test_texts_of_a_table_are_told_where_they_are_taken() -> None:
    body = json.dumps({"inputs": [{"name": "features", "shape": [1, 2], "datatype": "BYTES", "data": ["1", "male"]}]})
    assert said(body.encode(), JSON, NAMED) == (
        "input features: wrong datatype: expected FP32; of a category its position, for texts are taken in instances "
        'only, found "BYTES"'
    )
