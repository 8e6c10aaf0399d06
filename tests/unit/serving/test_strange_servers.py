"""What a server that is not ours answers is told as it is, or refused; it steers nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli
from tests.http_servers import listening

EVIL = "boot\x1b[2J\u202e\nerror: forged"
SHOWN = r"boot\x1b[2J\u202e\nerror: forged"
GOOD: dict[str, Any] = {
    "label": EVIL,
    "class_id": 0,
    "probability": 0.9,
    "top": [{"label": EVIL, "class_id": 0, "probability": 0.9}, {"label": EVIL, "class_id": 1, "probability": 0.1}],
    "version": "1",
    "digest": "d",
}


class Strange(BaseHTTPRequestHandler):
    """Answers with the request's own body."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(int(self.path.rpartition("/")[2]))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(Strange) as address:
        yield f"{address}/predictions"


def ask(url: str, path: Path, answer: object, status: int = 200) -> int:
    path.write_text(json.dumps(answer))
    return cli._run(["predict", str(path), "--url", f"{url}/{status}"])


def test_labels_and_errors_are_shown_escaped(url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "answer.json"
    assert ask(url, path, GOOD) == 0
    assert capfd.readouterr() == (f"{path}: {SHOWN} 0.9000 ({SHOWN} 0.1000)\n", "")
    assert ask(url, path, {"error": EVIL, "expected": EVIL, "found": EVIL}, 400) == 2
    shown = SHOWN.replace(r"\n", " ")
    assert capfd.readouterr().err == f"error: {path}: refused with 400: {shown}: expected {shown}, found {shown}\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"probability": "high"},
        {"probability": None},
        {"class_id": 1e999},
        {"top": [{"label": "a", "class_id": 0, "probability": EVIL}]},
        {"top": 1},
    ],
)
def test_answers_of_another_kind_are_the_servers_fault(
    wrong: dict[str, Any], url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert ask(url, tmp_path / "answer.json", {**GOOD, **wrong}) == 6
    error = capfd.readouterr().err
    assert ": expected label and probabilities or labels and probabilities or values" in error
    assert ", found: " in error
    assert error.removesuffix("\n").isprintable()
