"""Forms of a body: each has its entry, one place recognises them, and a further JSON form is taken at every size."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.answer_size import Extras
from pipeline._handlers.body_forms import FORMS, JSON_FORMS, AnswerRooms, decode_request, encode_response, form_of
from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import Serving
from pipeline._handlers.effort import Effort
from pipeline._handlers.predictor import Predictor
from pipeline._handlers.request import FormName, Request
from pipeline.serving.encoding import encode_png
from tests.served_models import GREY, SEQUENCE, TABLE, build_archive

JSON, RAW = "application/json", "application/octet-stream"
PICTURE = encode_png(np.zeros((1, 8, 6), np.uint8))
# The name of a form that the product does not have.
ROWS: Any = "rows"
DOCUMENT = {"rows": [[0, 1, 0, 1], [1, 0, 1, 0]]}


class Rows:
    """A JSON form that nobody has: rows in, columns of logits out."""

    keys = frozenset({"rows"})

    def accepted(self, inputs: Sequence[InputSpec]) -> str:
        return "rows" if len(inputs) == 1 else ""

    def decode(self, body: bytes, media: str, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        assert media in (JSON, "")
        return self.decode_document(json.loads(body), inputs, effort)

    def decode_document(self, document: Any, inputs: Sequence[InputSpec], effort: Effort) -> Request:
        assert effort.room is None or effort.room.most == 7
        instances = tuple({inputs[0].name: np.array(row, np.float32)} for row in document["rows"])
        return Request(instances=instances, form=ROWS, listed=True)

    def most_instances(self, serving: Serving, longest: Mapping[str, Any], extras: Extras) -> int:
        assert serving.labels
        assert longest["digest"] == "0" * 64
        return 7 + extras.logits

    def encode(self, predictor: Predictor, request: Request, logits: NDArray[np.float32], extras: Extras) -> bytes:
        assert (len(logits), extras) == (len(request.instances), Extras())
        return predictor.serving.name.encode()


def test_every_form_has_its_entry_and_its_own_keys() -> None:
    assert list(FORMS) == list(get_args(FormName))
    keys = [key for form in JSON_FORMS.values() for key in form.keys]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize(
    ("body", "media", "spec", "form"),
    [
        (PICTURE, "", GREY, "picture"),
        (PICTURE, RAW, GREY, "picture"),
        (PICTURE, RAW, TABLE, "raw"),
        (PICTURE, RAW, SEQUENCE, "raw"),
        (bytes(48), RAW, GREY, "raw"),
        (bytes(48), "image/webp", GREY, "picture"),
        (PICTURE, JSON, GREY, "instances"),
        (b"[1, 2]", "application/vnd.mine+json", GREY, "instances"),
        (b' {"anything": 1}', "text/plain", GREY, "instances"),
        (b"hello", "text/plain", GREY, None),
    ],
)
def test_one_place_tells_forms_apart(body: bytes, media: str, spec: InputSpec, form: FormName | None) -> None:
    assert form_of(body, media, [spec]) == form


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
@pytest.mark.parametrize("padding", ["", " " * 70_000])
def test_a_further_json_form_is_taken_at_every_size(
    monkeypatch: pytest.MonkeyPatch, encoding: str, padding: str, tmp_path: Path
) -> None:
    monkeypatch.setitem(JSON_FORMS, ROWS, Rows())
    monkeypatch.setitem(FORMS, ROWS, Rows())
    build_archive(tmp_path / "made", [TABLE]).unpack(tmp_path / "unpacked")
    predictor = Predictor.load(tmp_path / "unpacked")
    rooms = predictor.answer_rooms
    body = (json.dumps(DOCUMENT) + padding).encode(encoding)
    for sent in (body, DOCUMENT):
        request = decode_request(sent, JSON, [TABLE], rooms=lambda form: rooms.room(form, Extras()))
        assert [instance["features"].tolist() for instance in request.instances] == DOCUMENT["rows"]
        logits = predictor.predict(request.instances)
        assert encode_response(predictor, request, logits, Extras()) == predictor.serving.name.encode()
    instances = decode_request((json.dumps({"instances": DOCUMENT["rows"]}) + padding).encode(), JSON, [TABLE])
    answer = encode_response(predictor, instances, predictor.predict(instances.instances), Extras())
    assert len(json.loads(answer)["predictions"]) == len(DOCUMENT["rows"])


def test_a_form_says_how_many_answers_have_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FORMS, "raw", Rows())
    rooms = AnswerRooms(build_archive(tmp_path, [TABLE]).serving)
    assert [rooms.room("raw", Extras(logits=logits)).most for logits in (False, True)] == [7, 8]
    assert rooms.room("instances", Extras()).most > 1000
