"""Published weights by name: where they are looked for, what is fetched, and what is said where nothing is there."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from pipeline.errors import DataError, UsageError
from pipeline.models import published_weights
from pipeline.models.published_weights import Published, published, weights_place

NAME = "torchvision:ResNet50_Weights.IMAGENET1K_V2"
FILE = "resnet50-11ad3fa6.pth"
CONTENT = b"weights"
DIGEST = hashlib.sha256(CONTENT).hexdigest()[:8]


@pytest.fixture(autouse=True)
def _no_web(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that answers every request with the same bytes."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.server_port}"
    finally:
        listener.shutdown()
        thread.join()
        listener.server_close()


def test_a_path_is_relative_to_the_recipe(tmp_path: Path) -> None:
    assert weights_place("w.pt", tmp_path) == tmp_path / "w.pt"


def test_the_package_says_where_the_file_is() -> None:
    facts = published(NAME)
    assert facts.file == FILE
    assert facts.url.endswith(f"/{FILE}")


def test_where_nothing_is_there_all_that_was_tried_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(DataError) as caught:
        weights_place(NAME, tmp_path, log=told.append)
    text = str(caught.value)
    for part in (
        f"model.weights {NAME}: expected its file on this machine or the web, found neither",
        f"{tmp_path}/weights/{FILE} (no such file)",
        f"{tmp_path}/hub/checkpoints/{FILE} (no such file)",
        f"put {FILE} into {tmp_path}/weights",
    ):
        assert part in text
    assert "\n" not in text
    assert told
    assert told[0].startswith(f"fetching {NAME} from http")


def test_a_file_that_torch_fetched_is_taken_if_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = f"net-{DIGEST}.pth"
    monkeypatch.setattr(published_weights, "published", lambda _: Published(file=file, url="http://127.0.0.1:9/x"))
    place = tmp_path / "hub" / "checkpoints" / file
    place.parent.mkdir(parents=True)
    place.write_bytes(CONTENT)
    assert weights_place(NAME, tmp_path) == place
    place.write_bytes(b"other")
    with pytest.raises(DataError, match=rf"\(expected a file whose SHA-256 begins with {DIGEST}, found "):
        weights_place(NAME, tmp_path)


def test_fetched_once_into_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    file = f"net-{DIGEST}.pth"
    monkeypatch.setattr(published_weights, "published", lambda _: Published(file=file, url=f"{server}/{file}"))
    told: list[str] = []
    for _ in range(2):
        assert weights_place(NAME, tmp_path, log=told.append) == tmp_path / "weights" / file
    assert told == [f"fetching {NAME} from {server}/{file}"]
    assert [path.name for path in (tmp_path / "weights").iterdir()] == [file]


def test_an_answer_that_is_something_else_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    facts = Published(file="net-00000000.pth", url=f"{server}/x")
    monkeypatch.setattr(published_weights, "published", lambda _: facts)
    with pytest.raises(DataError, match=rf"{server}/x \(expected a file whose SHA-256 begins with 00000000"):
        weights_place(NAME, tmp_path)
    assert not list((tmp_path / "weights").iterdir())


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "torchvision:ResNet50_Weights.IMAGENET1K_V9",
            "expected one of ResNet50_Weights's: IMAGENET1K_V1",
        ),
        ("torchvision:ResNet5_Weights.IMAGENET1K_V1", "did you mean ResNet50_Weights"),
    ],
)
def test_a_name_that_is_none(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        weights_place(name, tmp_path)
