"""Bodies in every form with bytes changed, cut out or repeated: each is decoded or refused, nothing else happens."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request, encode_response
from pipeline._handlers.json_instances import V1_MEDIA
from pipeline._handlers.open_inference import TENSORS_MEDIA, answer_header_length, refusal_body
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import FormName
from tests.request_bodies import JSON, PIXELS, RAW, listed, png
from tests.served_models import GREY, build_archive
from tests.tensor_bodies import infer_body, large, objects

MUTATIONS = 2_000
# Bytes that mean something in one of the forms.
TELLING = b'[]{}",:0123456789.-+eE\\ntfu\x00\xff\x89PNG "'
PICTURES = np.stack([PIXELS, PIXELS // 3])
OUTPUTS = ({"name": "logits", "parameters": {"binary_data": True}}, {"name": "label"})


def bodies() -> list[tuple[bytes, str]]:
    """A body in each form that is taken, with its content type."""
    b64 = base64.b64encode(png()).decode()
    nested = {"name": "image", "shape": [2, 1, 8, 6], "datatype": "UINT8", "data": PICTURES.tolist()}
    tensors = json.dumps({"id": "1", "inputs": [nested]}).encode()
    return [
        (png(), "image/png"),
        (PIXELS.tobytes(), RAW),
        (listed(PIXELS.tolist(), {"b64": b64}), JSON),
        (json.dumps({"inputs": PICTURES.tolist()}).encode(), V1_MEDIA),
        (listed(PIXELS.tolist()) + b" " * 70_000, JSON),
        (tensors, JSON),
        (large(tensors), TENSORS_MEDIA),
        infer_body({"image": PICTURES}),
        infer_body({"image": PICTURES}, binary=False, outputs=OUTPUTS),
        infer_body({"image": PICTURES}, outputs=OUTPUTS, identifier="7"),
        infer_body({"image": objects(png(), png())}),
        infer_body({"image": objects(b64, b64)}, binary=False),
        (PIXELS.tobytes(), f"{TENSORS_MEDIA}; header-length=0"),
    ]


def mutated(body: bytes, draw: Random) -> bytes:
    """A body with one to four places changed; long runs of spaces are not worth a change."""
    changed = bytearray(body)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(min(len(changed), 1500) or 1)
        if draw.random() < 0.5:
            place = max(0, len(changed) - 1 - place)
        match draw.randrange(5):
            case 0 if changed:
                changed[place % len(changed)] = draw.choice(TELLING)
            case 1 if changed:
                changed[place % len(changed)] ^= 1 << draw.randrange(8)
            case 2:
                del changed[place : place + draw.randint(1, 40)]
            case 3:
                changed[place:place] = changed[place : place + draw.randint(1, 40)]
            case _:
                del changed[place:]
    return bytes(changed)


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder: Path = tmp_path_factory.mktemp("model")
    build_archive(folder / "made", [GREY]).unpack(folder / "unpacked")
    return Predictor.load(folder / "unpacked")


def test_each_form_is_among_the_bodies() -> None:
    forms = {decode_request(body, content_type, [GREY]).form for body, content_type in bodies()}
    names: set[FormName] = {"picture", "raw", "instances", "tensors"}
    assert forms == names


def test_a_mutated_body_is_answered_or_refused(predictor: Predictor) -> None:
    draw, rooms, kinds = Random(17), predictor.answer_rooms, bodies()
    answered, refusals = 0, []
    for number in range(MUTATIONS):
        body, content_type = kinds[number % len(kinds)]
        extras = Extras(logits=draw.random() < 0.5, decoded=draw.random() < 0.5)
        sent = mutated(body, draw)
        try:
            request = decode_request(
                sent,
                content_type,
                predictor.serving.inputs,
                limits=predictor.limits,
                rooms=lambda form, extras=extras: rooms.room(form, extras),  # type: ignore[misc]
            )
        except BadRequest as refusal:
            refusals.append(refusal)
            continue
        answer = encode_response(predictor, request, predictor.predict(request.instances), extras)
        json.loads(answer[: answer_header_length(answer)])
        answered += 1
    assert {refusal.status for refusal in refusals} <= {400, 413, 415}
    assert not [refusal for refusal in refusals if "\n" in str(refusal) or len(refusal_body(refusal)) > 20_000]
    assert min(answered, len(refusals)) > MUTATIONS // 20
