"""What becomes of a file that a server does not answer with a label."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.body_forms import decode_request
from pipeline._handlers.picture_kinds import PICTURE_FILE
from pipeline.errors import PipelineError, ServerError, UsageError
from pipeline.serving.client import predict
from tests.http_servers import listening
from tests.served_models import GREY


class Refuse(BaseHTTPRequestHandler):
    """Decodes a body as a worker does, and refuses it; JSON as without an answer, else 429 where nothing is wrong."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, answer = 429, {"error": "too many requests"}
        try:
            decode_request(body, self.headers["content-type"], [GREY])
        except BadRequest as error:
            status, answer = error.status, error.to_json()
        if status == 429 and self.headers["content-type"] == "application/json":
            status, answer = 422, BadRequest("no answer", expected="other values", found="NaN").to_json()
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(Refuse) as address:
        yield f"{address}/predictions/tiny"


def refused(url: str, path: Path, content: bytes) -> PipelineError:
    path.write_bytes(content)
    [(_, error)] = predict([path], url)
    assert isinstance(error, PipelineError)
    return error


@pytest.mark.parametrize("name", ["text.png", "text.JPG", "picture.gif"])
def test_what_has_a_pictures_name_only_is_said_to_be_none(url: str, tmp_path: Path, name: str) -> None:
    error = refused(url, tmp_path / name, b"no picture at all")
    assert isinstance(error, UsageError)
    assert str(error) == (
        f"{tmp_path / name}: refused with 400: input image: not a picture: expected {PICTURE_FILE}, found 17 bytes "
        "beginning with b'no pictu'"
    )


def test_raw_bytes_of_the_wrong_length_are_a_bad_input(url: str, tmp_path: Path) -> None:
    error = refused(url, tmp_path / "pixels.bin", bytes(47))
    assert isinstance(error, UsageError)
    assert "raw body of the wrong length: expected 48 bytes" in str(error)


def test_a_refusal_that_is_not_about_the_input_is_the_servers(url: str, tmp_path: Path) -> None:
    error = refused(url, tmp_path / "pixels.bin", bytes(48))
    assert isinstance(error, ServerError)
    assert str(error) == f"{tmp_path / 'pixels.bin'}: refused with 429: too many requests"


def test_values_that_the_model_cannot_answer_are_a_bad_input(url: str, tmp_path: Path) -> None:
    error = refused(url, tmp_path / "one.json", json.dumps({"instances": [[[[0] * 6] * 8]]}).encode())
    assert isinstance(error, UsageError)
    assert str(error) == f"{tmp_path / 'one.json'}: refused with 422: no answer: expected other values, found NaN"
