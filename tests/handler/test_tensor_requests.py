"""Tensors in the bodies of inference requests: JSON, flat and nested, and binary data become the same arrays."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.answer_size import AnswerRoom
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request, form_of
from pipeline._handlers.decode import InputSpec, MadeUp
from pipeline._handlers.json_text import SMALL_JSON_BYTES
from pipeline._handlers.open_inference import TENSORS_MEDIA
from pipeline._handlers.request import FormName, Request
from pipeline._handlers.tensor_heads import KnownHeads
from pipeline._handlers.tensor_request import read_request
from tests.request_bodies import JSON, PIXELS, png
from tests.row_inputs import NAMED
from tests.served_models import COLOUR, GREY, SEQUENCE, TABLE
from tests.tensor_bodies import infer_body, large, objects

DRAW = np.random.default_rng(17)
WIDE = replace(TABLE, shape=(2, 1500))
GAPS = replace(TABLE, missing=True)
PAIR = (PIXELS, PIXELS[:, ::-1])


def tensor(spec: InputSpec, data: object, shape: list[int], datatype: str) -> dict[str, Any]:
    return {"name": spec.name, "shape": shape, "datatype": datatype, "data": data}


def request_of(*tensors: object, **others: object) -> bytes:
    return json.dumps({"inputs": list(tensors), **others}).encode()


def stacked(request: Request, spec: InputSpec) -> NDArray[Any]:
    return np.stack([instance[spec.name] for instance in request.instances])


def examples(spec: InputSpec, count: int) -> NDArray[Any]:
    values = DRAW.uniform(0, 2, (count, *spec.shape)) * (1 if spec.dtype == "float32" else 40)
    return values.astype(spec.dtype)


@pytest.mark.parametrize("count", [1, 3, 40])
@pytest.mark.parametrize("spec", [GREY, COLOUR, TABLE, SEQUENCE, WIDE], ids=lambda spec: f"{spec.dtype}{spec.shape}")
def test_values_arrive_bit_for_bit_however_they_are_sent(spec: InputSpec, count: int) -> None:
    array = examples(spec, count)
    datatype = {"uint8": "UINT8", "float32": "FP32", "int64": "INT64"}[spec.dtype]
    shape = list(array.shape)
    bodies = [
        infer_body({spec.name: array}),
        infer_body({spec.name: array}, binary=False),
        (request_of(tensor(spec, array.tolist(), shape, datatype)), JSON),
        (large(request_of(tensor(spec, array.ravel().tolist(), shape, datatype))), ""),
        (large(request_of(tensor(spec, array.tolist(), shape, datatype))) + b"\n" * SMALL_JSON_BYTES, TENSORS_MEDIA),
    ]
    for body, content_type in bodies:
        request = decode_request(body, content_type, [spec])
        assert (request.form, request.listed, len(request.instances)) == ("tensors", True, count)
        assert stacked(request, spec).dtype == array.dtype
        assert stacked(request, spec).tobytes() == array.tobytes()
        assert all(instance[spec.name].flags.aligned for instance in request.instances)
    parsed = json.loads(bodies[2][0])
    assert stacked(decode_request(parsed, JSON, [spec]), spec).tobytes() == array.tobytes()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
def test_a_large_body_of_every_encoding_is_read(encoding: str) -> None:
    spec = replace(WIDE, name="gr\u00f6\u00dfe \U0001f5bc")
    array = examples(spec, 2)
    text = json.dumps({"inputs": [tensor(spec, array.tolist(), list(array.shape), "FP32")]}, ensure_ascii=False)
    assert len(text) > SMALL_JSON_BYTES
    assert stacked(decode_request(text.encode(encoding), JSON, [spec]), spec).tobytes() == array.tobytes()


def test_inputs_come_by_name_in_any_order_and_mixed() -> None:
    pixels, rows = examples(GREY, 3), examples(TABLE, 3)
    for binary in (True, False):
        request = decode_request(*infer_body({"features": rows, "image": pixels}, binary=binary), [GREY, TABLE])
        assert list(request.instances[0]) == ["image", "features"]
        assert stacked(request, GREY).tobytes() == pixels.tobytes()
        assert stacked(request, TABLE).tobytes() == rows.tobytes()
    head = json.dumps(
        {
            "inputs": [
                tensor(TABLE, rows.tolist(), [3, 4], "FP32"),
                {**tensor(GREY, None, [3, 1, 8, 6], "UINT8"), "parameters": {"binary_data_size": 144}},
            ]
        }
    ).encode()
    content_type = f"{TENSORS_MEDIA.upper()} ;Header-Length={len(head)}"
    request = decode_request(head + pixels.tobytes(), content_type, [GREY, TABLE])
    assert stacked(request, GREY).tobytes() == pixels.tobytes()
    assert stacked(request, TABLE).tobytes() == rows.tobytes()


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_pictures_are_taken_as_files_and_as_base64(shape: tuple[int, ...]) -> None:
    files = objects(png(), png()).reshape(shape)
    texts = objects(*[base64.b64encode(png()).decode()] * 2).reshape(shape)
    nested = request_of(tensor(GREY, texts.tolist(), list(shape), "BYTES"))
    bodies = [
        infer_body({"image": files}),
        infer_body({"image": texts}, binary=False),
        (nested, JSON),
        (large(nested), JSON),
    ]
    for body, content_type in bodies:
        request = decode_request(body, content_type, [GREY])
        assert stacked(request, GREY).tolist() == [PIXELS.tolist()] * 2


def test_a_body_without_a_header_is_one_example_and_asks_for_binary_data() -> None:
    for body in (PIXELS.tobytes(), png(), b"\x1f\x8b" + bytes(46)):
        request = decode_request(body, f"{TENSORS_MEDIA}; header-length=0", [GREY])
        assert (request.form, request.wishes.binary, len(request.instances)) == ("tensors", True, 1)
    values = png()[:48]
    request = decode_request(values, f"{TENSORS_MEDIA}; header-length=0", [GREY])
    assert request.instances[0]["image"].tobytes() == values, "as long as the values are, it is no picture"
    with pytest.raises(BadRequest, match="input image: raw body of the wrong length: expected 48 bytes"):
        decode_request(bytes(47), f"{TENSORS_MEDIA}; header-length=0", [GREY])
    with pytest.raises(BadRequest, match="raw bytes need a model of one input of fixed shape: expected") as caught:
        decode_request(bytes(47), f"{TENSORS_MEDIA}; header-length=0", [SEQUENCE])
    assert caught.value.status == 415


def test_a_row_of_a_table_is_its_coded_numbers_as_in_a_raw_body() -> None:
    rows = np.array([[3.5, 1], [-2, 0]], np.float32)
    for binary in (True, False):
        assert stacked(decode_request(*infer_body({"features": rows}, binary=binary), [NAMED]), NAMED).tolist() == (
            rows.tolist()
        )
        with pytest.raises(
            BadRequest, match=r"column sex: no position of a category: expected 0 to 1, of female, male"
        ):
            decode_request(*infer_body({"features": rows + 1}, binary=binary), [NAMED])


def test_missing_values_where_they_are_declared() -> None:
    rows = np.array([[np.nan, 2, np.nan, -2]], np.float32)
    null = request_of(tensor(GAPS, [None, 2.0, None, -2], [1, 4], "FP32"))
    for body, content_type in (
        infer_body({"features": rows}),
        infer_body({"features": rows}, binary=False),
        (null, JSON),
    ):
        np.testing.assert_array_equal(stacked(decode_request(body, content_type, [GAPS]), GAPS), rows)
        with pytest.raises(BadRequest, match="this input has no missing values"):
            decode_request(body, content_type, [TABLE])


@pytest.mark.parametrize("binary", [True, False])
def test_one_value_everywhere_is_refused_in_each_example(binary: bool) -> None:
    spec = replace(SEQUENCE, occurs=("noise",))
    fine = np.array([[0, 9, 0], [1, 1, 1]], np.int64)
    assert len(decode_request(*infer_body({"tokens": fine}, binary=binary), [spec]).instances) == 2
    for wrong in (np.array([[0, 9, 0], [0, 0, 0]]), np.array([[99, 99, 99], [1, 2, 3]])):
        with pytest.raises(BadRequest, match="input tokens: one value everywhere, which this model is not made for"):
            decode_request(*infer_body({"tokens": wrong}, binary=binary), [spec])
        everything = replace(spec, occurs=get_args(MadeUp))
        assert decode_request(*infer_body({"tokens": wrong}, binary=binary), [everything]).instances


def test_free_axes_have_one_size_in_a_tensor_and_keep_their_range() -> None:
    spec = replace(SEQUENCE, shape=(3,), dynamic_sizes=((2, 4),), dynamic_names=("length",))
    for size in (2, 4):
        request = decode_request(*infer_body({"tokens": np.ones((2, size), np.int64)}), [spec])
        assert request.instances[0]["tokens"].shape == (size,)
    for size in (1, 5):
        with pytest.raises(BadRequest) as caught:
            decode_request(*infer_body({"tokens": np.ones((2, size), np.int64)}), [spec])
        assert str(caught.value) == f"input tokens: size of axis 0 out of its range: expected 2 to 4, found {size}"
    mask = replace(spec, name="mask")
    arrays = {"tokens": np.ones((2, 3), np.int64), "mask": np.ones((2, 4), np.int64)}
    with pytest.raises(BadRequest, match="input mask: size of axis 0 differs from that of tokens axis 0: expected one"):
        decode_request(*infer_body(arrays), [spec, mask])
    uneven = request_of(tensor(spec, [[1, 1, 1], [1, 1]], [2, 3], "INT64"))
    for body in (uneven, large(uneven)):
        with pytest.raises(BadRequest) as caught:
            decode_request(body, JSON, [spec])
        assert str(caught.value) == (
            "instance 1, input tokens: another shape than that of the tensor: expected [3], found [2]"
        )


def test_a_request_says_what_it_wants() -> None:
    outputs: list[dict[str, Any]] = [
        {"name": "label", "parameters": {"binary_data": False}},
        {"name": "logits", "parameters": {"binary_data": True}},
        {"name": "class_id"},
    ]
    body, content_type = infer_body({"image": examples(GREY, 1)}, outputs=outputs, identifier="\u00fc 7")
    wishes = decode_request(body, content_type, [GREY]).wishes
    assert (wishes.id, dict(wishes.outputs)) == ("\u00fc 7", {"label": False, "logits": True, "class_id": False})
    body, content_type = infer_body({"image": examples(GREY, 1)})
    wishes = decode_request(body, content_type, [GREY]).wishes
    assert (wishes.id, dict(wishes.outputs), wishes.binary) == (None, {}, True)
    flat = tensor(TABLE, [0, 1, 0, 1], [1, 4], "FP32")
    others: dict[str, Any] = {"id": None, "model_name": "any", "outputs": [], "parameters": None}
    wishes = decode_request(request_of(flat, **others), JSON, [TABLE]).wishes
    assert (wishes.id, dict(wishes.outputs), wishes.binary) == (None, {}, False)


def test_json_that_was_read_before_means_the_same_for_other_values_and_not_for_another_model() -> None:
    outputs = [{"name": "logits"}]
    inputs = [GREY]

    def room(*tensors: str) -> Callable[[FormName], AnswerRoom]:
        return lambda _: AnswerRoom(most=9, tensors=tensors)

    for number in range(300):  # more than are kept
        array = examples(GREY, 1 + number % 9)
        body, content_type = infer_body({"image": array}, outputs=outputs[: number % 2])
        request = decode_request(body, content_type, inputs, rooms=room("logits"))
        assert stacked(request, GREY).tobytes() == array.tobytes()
        assert list(request.wishes.outputs) == ["logits"][: number % 2]
        named = infer_body({"image": array}, outputs=outputs, identifier=f"{number}")
        assert decode_request(*named, inputs, rooms=room("logits")).wishes.id == f"{number}"
    body, content_type = infer_body({"image": examples(GREY, 1)}, outputs=outputs)
    assert decode_request(body, content_type, inputs).instances
    with pytest.raises(BadRequest, match='wrong outputs: expected some of values, each once, found "logits"'):
        decode_request(body, content_type, inputs, rooms=room("values"))
    with pytest.raises(BadRequest, match=r"input image: wrong shape: expected \[-1, 3, 8, 6\], found \[1, 1, 8, 6\]"):
        decode_request(body, content_type, [COLOUR], rooms=room("logits"))


def test_only_what_may_come_again_is_kept() -> None:
    heads, inputs = KnownHeads(), (TABLE,)

    def kept(head: bytes, *, identifier: str | None = None, **changes: object) -> bool:
        entry = {**tensor(TABLE, None, [1, 4], "FP32"), "parameters": {"binary_data_size": 16}, **changes}
        heads.keep(head, inputs, None, read_request({"id": identifier, "inputs": [entry]}, inputs, None))
        return heads.get(head, inputs, None) is not None

    assert kept(b"plain")
    assert not kept(b"with values", data=[0, 0, 0, 0], parameters=None)
    assert not kept(b"with an id", identifier="7")
    assert not kept(b"long" * 600)
    assert all(kept(b"%d" % number) for number in range(255))
    assert heads.get(b"plain", inputs, None) is not None
    assert kept(b"one more")
    assert heads.get(b"plain", inputs, None) is None


@pytest.mark.parametrize(
    ("body", "media", "form"),
    [
        (b'{"inputs": []}', JSON, "tensors"),
        (b' {"id": "1"}', "", "tensors"),
        (b'{"model_name": "m"}', JSON, "tensors"),
        (b'{"instances": []}', TENSORS_MEDIA, "tensors"),
        (png(), TENSORS_MEDIA, "tensors"),
        (b'{"parameters": {}}', JSON, "instances"),
    ],
)
def test_such_a_body_is_known_by_its_type_or_its_first_key(body: bytes, media: str, form: str) -> None:
    assert form_of(body, media, [GREY]) == form
