"""The tensors of an answer: the model's own numbers to the last bit, its task's answer, and what the request chose."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers import answer_size, tensor_answer
from pipeline._handlers.answer_size import Extras
from pipeline._handlers.body_forms import AnswerRooms, decode_request, encode_response
from pipeline._handlers.datatypes import DATATYPES, binary_data, datatype_of, longest_element
from pipeline._handlers.open_inference import TENSORS_MEDIA, answer_header_length
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import Request, TensorWishes
from pipeline._handlers.tensor_answer import most_tensor_instances, output_shapes
from tests.request_bodies import PIXELS, listed
from tests.served_models import GREY, LABELS, TABLE, build_archive
from tests.several_outputs import SPECS
from tests.tensor_bodies import infer_body, objects, read_answer

PLAIN, ALL = Extras(), Extras(logits=True, decoded=True)
PICTURES = np.stack([PIXELS, PIXELS[:, ::-1], PIXELS // 2])


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("model")
    build_archive(folder / "made", [GREY]).unpack(folder / "unpacked")
    return Predictor.load(folder / "unpacked")


def answered(
    predictor: Predictor, body: bytes, content_type: str, extras: Extras = PLAIN
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a client reads of the answer to a body."""
    rooms = predictor.answer_rooms
    request = decode_request(body, content_type, predictor.serving.inputs, rooms=lambda form: rooms.room(form, extras))
    return read_answer(encode_response(predictor, request, predictor.predict(request.instances), extras))


@pytest.mark.parametrize("ask_binary", [True, False])
@pytest.mark.parametrize("send_binary", [True, False])
def test_the_networks_outputs_are_bit_equal(predictor: Predictor, send_binary: bool, ask_binary: bool) -> None:
    names = ("logits", "label", "class_id", "probability")
    outputs = [{"name": name, "parameters": {"binary_data": ask_binary}} for name in names]
    body, content_type = infer_body({"image": PICTURES}, binary=send_binary, outputs=outputs)
    document, tensors = answered(predictor, body, content_type)
    logits = predictor.predict([{"image": picture} for picture in PICTURES])
    assert tensors["logits"].dtype == np.float32
    assert tensors["logits"].tobytes() == logits.tobytes()
    answers = [predictor.answer(row) for row in logits]
    for name, datatype in (("label", "BYTES"), ("class_id", "INT64"), ("probability", "FP64")):
        expected = [answer[name] for answer in answers]
        found = [value.decode() if isinstance(value, bytes) else value for value in tensors[name].tolist()]
        assert found == expected
        assert next(output for output in document["outputs"] if output["name"] == name)["datatype"] == datatype
    assert document["parameters"]["digest"] == predictor.digest
    assert (document["model_name"], document["model_version"]) == ("tiny", "1.0")
    assert "id" not in document
    for output in document["outputs"]:
        assert ("data" in output) != ask_binary
        assert all(not isinstance(value, list) for value in output.get("data", [])), "flat"


def test_any_float32_comes_back_as_it_was(predictor: Predictor) -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, (4000, len(LABELS)), dtype=np.uint32).view(np.float32)
    logits = bits[np.isfinite(bits).all(axis=1)]
    smallest = np.full((1, len(LABELS)), -1.1754944e-38, np.float32)
    for rows in (logits, smallest):
        for binary in (True, False):
            request = Request(
                instances=(), form="tensors", listed=True, wishes=TensorWishes(outputs={"logits": binary})
            )
            _, tensors = read_answer(encode_response(predictor, request, rows, PLAIN))
            assert tensors["logits"].tobytes() == rows.tobytes()


def test_a_client_gets_the_outputs_that_it_asks_for_in_its_order(predictor: Predictor) -> None:
    outputs: list[dict[str, Any]] = [{"name": "class_id"}, {"name": "logits", "parameters": {"binary_data": True}}]
    body, content_type = infer_body({"image": PICTURES}, outputs=outputs, identifier="\u00fc-7")
    document, tensors = answered(predictor, body, content_type)
    assert list(tensors) == ["class_id", "logits"]
    assert ["data" in output for output in document["outputs"]] == [True, False]
    assert document["id"] == "\u00fc-7"
    flagged = json.dumps(
        {
            "inputs": [{"name": "image", "shape": [1, 1, 8, 6], "datatype": "UINT8", "data": PIXELS.ravel().tolist()}],
            "parameters": {"binary_data_output": True},
            "outputs": [{"name": "label"}, {"name": "logits", "parameters": {"binary_data": False}}],
        }
    ).encode()
    document, _ = answered(predictor, flagged, TENSORS_MEDIA)
    assert ["data" in output for output in document["outputs"]] == [False, True]


def test_without_a_wish_all_outputs_come_in_json(predictor: Predictor) -> None:
    tensor = {"name": "image", "shape": [1, 1, 8, 6], "datatype": "UINT8", "data": PIXELS.ravel().tolist()}
    body = json.dumps({"inputs": [tensor]}).encode()
    document, tensors = answered(predictor, body, "application/json")
    assert list(tensors) == ["logits", "label", "class_id", "probability"]
    assert all("data" in output for output in document["outputs"])


def test_a_body_without_a_header_gets_all_outputs_as_binary_data(predictor: Predictor) -> None:
    document, tensors = answered(predictor, PIXELS.tobytes(), f"{TENSORS_MEDIA}; header-length=0")
    assert tensors["logits"].tobytes() == predictor.predict([{"image": PIXELS}]).tobytes()
    assert all("data" not in output for output in document["outputs"])


def test_a_check_gets_the_networks_outputs_and_what_was_decoded(predictor: Predictor) -> None:
    outputs = [{"name": "label", "parameters": {"binary_data": True}}]
    for wishes in (outputs, []):
        body, content_type = infer_body({"image": PICTURES}, outputs=wishes)
        _, tensors = answered(predictor, body, content_type, ALL)
        logits = predictor.predict([{"image": picture} for picture in PICTURES])
        assert tensors["logits"].tobytes() == logits.tobytes()
        digests = [hashlib.sha256(picture.tobytes()).hexdigest() for picture in PICTURES]
        texts = [text.decode() if isinstance(text, bytes) else text for text in tensors["decoded.image"].tolist()]
        assert texts == digests


def test_the_json_in_front_of_binary_data_says_its_length(predictor: Predictor) -> None:
    instances = ({"image": PIXELS},) * 9
    logits = predictor.predict(instances)
    for length in range(300):  # whatever the number of digits
        wishes = TensorWishes(id="x" * length, binary=True)
        request = Request(instances=instances, form="tensors", listed=True, wishes=wishes)
        body = encode_response(predictor, request, logits, PLAIN)
        header = answer_header_length(body)
        assert header is not None
        assert json.loads(body[:header])["parameters"]["header_length"] == header
        read_answer(body)
    plain = Request(instances=instances, form="instances", listed=True)
    instances_answer = encode_response(predictor, plain, logits, PLAIN)
    in_json = encode_response(predictor, replace(plain, form="tensors", wishes=TensorWishes(id="{")), logits, PLAIN)
    assert [answer_header_length(body) for body in (instances_answer, in_json, b"", b'{"error":""}')] == [None] * 4


def test_several_labels_are_told_by_flags_and_probabilities(predictor: Predictor) -> None:
    settings = {"threshold": [0.5, 0.5, 0.9, 0.5, 0.5]}
    serving = replace(predictor.serving, task="multi-label", task_settings=settings)
    logits = np.array([[1, -1, 1, -1, 3], [-2, -3, -4, -5, -6], [4, 5, 6, 7, 8]], np.float32)
    several = Predictor(serving=serving, digest="0" * 64, model=lambda _: logits, golden={}, pictures={})
    _, tensors = answered(several, *infer_body({"image": PICTURES}))
    assert list(tensors) == ["logits", "given", "probability"]
    assert tensors["logits"].tobytes() == logits.tobytes()
    assert tensors["given"].tolist() == [[True, False, False, False, True], [False] * 5, [True] * 5]
    for row, values in enumerate(logits):
        answer = several.answer(values)
        assert [entry["class_id"] for entry in answer["labels"]] == sorted(
            np.flatnonzero(tensors["given"][row]), key=lambda index: -values[index]
        )
        for entry in answer["top"]:
            assert tensors["probability"][row, entry["class_id"]] == entry["probability"]


def test_values_are_the_networks_own_outputs(tmp_path: Path) -> None:
    build_archive(tmp_path, [TABLE], task="regression", labels=LABELS).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    rows = np.array([[1, 0, 0.5, -1], [2, -2, 0, 0.1]], np.float32)
    _, tensors = answered(predictor, *infer_body({"features": rows}))
    assert list(tensors) == ["values"]
    assert tensors["values"].tobytes() == predictor.predict([{"features": row} for row in rows]).tobytes()


def test_named_outputs_keep_their_names_and_shapes(predictor: Predictor) -> None:
    serving = replace(
        predictor.serving,
        task="outputs",
        labels=tuple(spec.name for spec in SPECS),
        runtime=replace(predictor.serving.runtime, outputs=SPECS),
    )
    shapes = {name: shape for name, (_, shape) in output_shapes(serving).items()}
    assert shapes == {spec.name: spec.shape for spec in SPECS}
    logits = np.random.default_rng(0).normal(0, 1, (3, serving.columns)).astype(np.float32)
    several = Predictor(serving=serving, digest="0" * 64, model=lambda _: logits, golden={}, pictures={})
    for binary in (True, False):
        wishes = TensorWishes(binary=binary)
        request = Request(instances=({"image": PIXELS},) * 3, form="tensors", listed=True, wishes=wishes)
        _, tensors = read_answer(encode_response(several, request, logits, PLAIN))
        joined = np.concatenate([tensors[spec.name].reshape(3, -1) for spec in SPECS], axis=1)
        assert joined.tobytes() == logits.tobytes()
        assert all(tensors[spec.name].shape == (3, *spec.shape) for spec in SPECS)


def test_instances_and_tensors_do_not_mix_up_their_answers(predictor: Predictor) -> None:
    request = decode_request(listed(PIXELS.tolist()), "application/json", [GREY])
    body = encode_response(predictor, request, predictor.predict(request.instances), PLAIN)
    assert list(json.loads(body)) == ["predictions"]


@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
@pytest.mark.parametrize("labels", [LABELS, ('"' * 300, "\u20ac" * 200, "\ud800", "\U0001f5bc" * 90, "e")])
def test_the_largest_answer_is_no_larger_than_promised(
    monkeypatch: pytest.MonkeyPatch, predictor: Predictor, labels: tuple[str, ...], task: Any
) -> None:
    serving = replace(predictor.serving, labels=labels, task=task)
    logits = np.full((600, len(labels)), np.float32(-6843686000000000.0))
    model = Predictor(serving=serving, digest="f" * 64, model=lambda _: logits, golden={}, pictures={})
    longest = max(range(len(labels)), key=lambda index: len(json.dumps(labels[index])))
    if task != "regression":  # whose answers are then as long as any, and hide nothing
        logits[:, longest] = 3e-38
    instances = ({"image": PIXELS},) * len(logits)
    for extras in (PLAIN, ALL):
        sizes = []
        for binary in (False, True):
            wishes = TensorWishes(id="\U0001f5bc" * 256, binary=binary)
            request = Request(instances=instances, form="tensors", listed=True, wishes=wishes)
            sizes.append(len(encode_response(model, request, logits, extras)))
        monkeypatch.setattr(tensor_answer, "MAX_ANSWER_BYTES", max(sizes))
        assert 0.3 * len(logits) < most_tensor_instances(serving, extras) <= len(logits)


def test_no_number_is_longer_than_its_datatype_says() -> None:
    bits = np.random.default_rng(1).integers(0, 2**32, 300_000, dtype=np.uint32).view(np.float32)
    floats = bits[np.isfinite(bits)].astype(np.str_).astype(np.float64).tolist()
    doubles = np.random.default_rng(1).integers(0, 2**63, 300_000).view(np.float64)
    for dtype, values in (("float32", floats), ("float64", (-doubles[np.isfinite(doubles)]).tolist())):
        assert max(len(json.dumps(value)) for value in values) <= DATATYPES[datatype_of(dtype)].longest


@pytest.mark.parametrize("text", ["", "bag", "\u20ac" * 9, '"\n', "\ud800", "\U0001f5bc"])
def test_no_text_takes_more_room_than_it_is_counted(text: str) -> None:
    sizes = (len(json.dumps(text) + ","), len(binary_data(objects(text))))
    assert max(sizes) <= longest_element("BYTES", ["", text])
    assert longest_element("BYTES", ["bag"]) == len(binary_data(objects("bag")))


def test_a_model_says_how_many_tensors_have_room(predictor: Predictor) -> None:
    rooms = AnswerRooms(predictor.serving)
    room = rooms.room("tensors", PLAIN)
    assert room.tensors == ("logits", "label", "class_id", "probability")
    assert 20_000 < room.most < answer_size.MAX_ANSWER_BYTES // 100
    assert rooms.room("tensors", ALL).most < room.most
    wide = replace(predictor.serving, labels=tuple(f"label {number}" for number in range(1000)))
    assert AnswerRooms(wide).room("tensors", PLAIN).most == 326
