"""A real server of each kind: what it answers, and what it keeps to itself."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from PIL import Image

from pipeline._handlers.bad_request import BadRequest
from pipeline._handlers.decode import decode_image
from pipeline._handlers.exchange import DECODED_HEADER, WORKER_HEADER
from pipeline._handlers.picture_kinds import PICTURE_FILE
from pipeline._handlers.request import MAX_BODY_BYTES
from pipeline.archive.mar import Archive
from pipeline.errors import ServerError
from pipeline.serving import lifecycle
from pipeline.serving.address import prediction_endpoint
from pipeline.serving.client import predict, predict_bytes, predict_logits
from pipeline.serving.encoding import encode_png
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS
from pipeline.serving.torchserve.sockets import INFERENCE_SOCKET, MANAGEMENT_SOCKET
from tests.served_models import GREY, LABELS, weights
from tests.server_processes import assert_nothing_left, belonging

PIXELS = np.random.default_rng(5).integers(0, 256, (12, 1, 8, 6), dtype=np.uint8)
PICTURES = [encode_png(pixels) for pixels in PIXELS]
EXPECTED = PIXELS.reshape(12, -1).astype(np.float32) @ weights(48)
FORM = "application/x-www-form-urlencoded"
# In the environment of whoever serves, and nothing for the code of an archive.
SECRETS = {"AWS_SECRET_ACCESS_KEY": "canary", "HTTPS_PROXY": "http://me:canary@127.0.0.1:9", "MY_TOKEN": "canary"}


@pytest.fixture(scope="module", autouse=True)
def secrets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module", params=SERVERS)
def server(archive: Archive, request: pytest.FixtureRequest) -> Iterator[ServerState]:
    with lifecycle.running_server(archive.path, server=request.param, workers=2, batch_size=4) as state:
        yield state
    assert_nothing_left(state)


@pytest.fixture(scope="module")
def url(server: ServerState) -> str:
    return f"{server.url}/predictions/tiny"


def test_ready_means_every_worker_is(server: ServerState) -> None:
    (status,) = lifecycle.status()
    assert status.ready
    assert [worker.status for worker in status.workers] == ["READY", "READY"]
    document = json.loads(json.dumps(status.to_json()))
    assert (document["url"], document["model"], document["ready"]) == (server.url, "tiny", True)


@pytest.mark.parametrize("content_type", ["image/png", FORM, "application/octet-stream", ""])
def test_a_picture_under_any_name(url: str, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = httpx.post(url, content=PICTURES[0], headers=headers)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["label"] == LABELS[int(EXPECTED[0].argmax())]
    assert set(response.json()) == {"label", "class_id", "probability", "top", "version", "digest"}


def test_every_form_gives_the_same_logits(url: str) -> None:
    forms = [
        (PICTURES[0], "image/png"),
        (PIXELS[0].tobytes(), "application/octet-stream"),
        (json.dumps({"instances": [PIXELS[0].tolist()]}).encode(), "application/json"),
    ]
    answers = [predict_logits(prediction_endpoint(url), body, content_type).values for body, content_type in forms]
    np.testing.assert_allclose(answers[0], EXPECTED[:1], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[0], answers[2])


def pictures() -> dict[str, bytes]:
    """Files of every kind, of odd sizes."""
    noise = np.random.default_rng(1).integers(0, 256, (23, 17, 4), dtype=np.uint8)
    colour = Image.fromarray(noise, "RGBA")
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, str, dict[str, Any]]] = {
        "grey": (Image.fromarray(noise[..., 0]), "PNG", {}),
        "colour": (colour.convert("RGB"), "PNG", {}),
        "palette": (colour.convert("RGB").quantize(16), "PNG", {}),
        "alpha": (colour, "PNG", {}),
        "grey with alpha": (colour.convert("LA"), "PNG", {}),
        "16 bits": (Image.fromarray(noise[..., 0].astype(np.uint16) * 251), "PNG", {}),
        "JPEG": (colour.convert("RGB"), "JPEG", {"quality": 80}),
        "CMYK": (colour.convert("RGB").convert("CMYK"), "JPEG", {}),
        "turned JPEG": (colour.convert("RGB"), "JPEG", {"exif": exif}),
        "turned PNG": (colour.convert("L"), "PNG", {"exif": exif}),
        "one pixel": (Image.new("L", (1, 1), 77), "PNG", {}),
        "a line": (Image.fromarray(noise[:1, :, 0]), "PNG", {}),
    }
    files = {}
    for name, (picture, form, options) in kinds.items():
        buffer = io.BytesIO()
        picture.save(buffer, format=form, **options)
        files[name] = buffer.getvalue()
    return files | {"cut PNG": files["colour"][:-40], "cut JPEG": files["JPEG"][:-40], "text": b"no picture"}


def decoded_here(body: bytes) -> tuple[int, dict[str, str]]:
    try:
        return 200, {"image": hashlib.sha256(decode_image(body, GREY).tobytes()).hexdigest()}
    except BadRequest as error:
        return error.status, error.to_json()


def test_the_server_decodes_what_this_side_decodes(url: str) -> None:
    statuses = []
    for name, body in pictures().items():
        response = httpx.post(url, content=body, headers={"content-type": "image/png", DECODED_HEADER: "1"})
        document = response.json()
        assert (response.status_code, document.get("decoded", document)) == decoded_here(body), name
        statuses.append(response.status_code)
    assert statuses == [200] * 12 + [400] * 3


def test_one_bad_request_in_a_batch_spoils_no_other(url: str) -> None:
    bodies = [picture if row % 3 else b"damaged" for row, picture in enumerate(PICTURES)]
    with ThreadPoolExecutor(len(bodies)) as pool:
        responses = list(
            pool.map(lambda body: httpx.post(url, content=body, headers={"content-type": "image/png"}), bodies)
        )
    for row, response in enumerate(responses):
        if row % 3:
            assert response.status_code == 200
            assert response.json()["class_id"] == int(EXPECTED[row].argmax())
        else:
            assert response.status_code == 400
            assert response.json() == {
                "error": "input image: not a picture",
                "expected": PICTURE_FILE,
                "found": "7 bytes beginning with b'damaged'",
            }


def part(name: str, body: bytes) -> tuple[str, tuple[str, bytes, str]]:
    return name, (f"{name}.png", body, "image/png")


@pytest.mark.parametrize(
    ("parts", "texts", "found"),
    [
        ([part("photo", PICTURES[1])], {}, None),
        ([part("photo", PICTURES[1])], {"user": "42"}, None),
        (
            [part("photo", PICTURES[1]), part("photo", PICTURES[2])],
            {},
            'the fields "photo (1)" (a picture), "photo (2)" (a picture)',
        ),
        (
            [part("first", PICTURES[1]), part("second", PICTURES[2])],
            {"user": "42"},
            'the fields "user", "first" (a picture), "second" (a picture)',
        ),
    ],
)
def test_no_picture_of_a_form_is_dropped(url: str, parts: Any, texts: dict[str, str], found: str | None) -> None:
    response = httpx.post(url, files=parts, data=texts)
    assert response.status_code == (200 if found is None else 400)
    if found is None:
        assert response.json()["class_id"] == int(EXPECTED[1].argmax())
    else:
        assert (response.json()["error"], response.json()["found"]) == ("several fields in one request", found)


def test_a_form_whose_second_picture_is_cut(url: str) -> None:
    request = httpx.Request("POST", url, files=[part("photo", PICTURES[1]), part("photo", PICTURES[2] + bytes(9999))])
    body, headers = request.read()[:-100], {"content-type": request.headers["content-type"]}
    for content in (body, iter([body])):  # the latter in chunks, without a declared length
        response = httpx.post(url, content=content, headers=headers)
        assert (response.status_code, response.json()["error"]) == (400, "a form with a field that is cut")


def test_packed_bodies_and_two_content_types(url: str) -> None:
    packed = httpx.post(url, content=gzip.compress(PICTURES[0]), headers={"Content-Encoding": "GZIP"})
    assert (packed.status_code, packed.json()["found"]) == (415, "content-encoding: gzip")
    types = [("content-type", "image/png"), ("content-type", "application/json")]
    response = httpx.post(url, content=PICTURES[0], headers=types)
    assert (response.status_code, response.json()["error"]) == (400, "several content types")


def test_a_body_over_the_limit_is_told_the_limit(url: str) -> None:
    response = httpx.post(url, content=PICTURES[0] + bytes(MAX_BODY_BYTES), headers={"content-type": "image/png"})
    assert response.status_code == 413
    assert response.json() == {
        "error": "request body too large",
        "expected": f"at most {MAX_BODY_BYTES} bytes",
        "found": f"{MAX_BODY_BYTES + len(PICTURES[0])} bytes",
    }


def test_workers_take_turns_and_say_who_they_are(server: ServerState, url: str) -> None:
    pids = {worker.pid for worker in lifecycle.status()[0].workers}
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda body: httpx.post(url, content=body), PICTURES))
    assert {int(answer.headers[WORKER_HEADER]) for answer in answers} == pids
    assert len(pids) == server.workers


def test_files(url: str, server: ServerState, tmp_path: Path) -> None:
    picture, document = tmp_path / "photo.png", tmp_path / "two.json"
    picture.write_bytes(PICTURES[1])
    document.write_text(json.dumps({"instances": [PIXELS[2].tolist(), PIXELS[3].tolist()]}))
    answers: dict[Path, Any] = {}
    for address in (server.url, url):
        answers = dict(predict([picture, document], address))
        assert [one.answer["class_id"] for one in answers[picture]] == [int(EXPECTED[1].argmax())]
        assert [one.answer["class_id"] for one in answers[document]] == EXPECTED[2:4].argmax(axis=1).tolist()
    bad = tmp_path / "bad.txt"
    bad.write_text("no picture")
    refused, missing, answered = (outcome for _, outcome in predict([bad, tmp_path / "none.png", picture], url))
    assert str(refused).startswith(f"{bad}: refused with 400: input image: raw body of the wrong length: expected 48 b")
    assert str(missing).startswith(f"{tmp_path}/none.png: expected a readable file, found: No such file")
    assert answered == answers[picture]
    with pytest.raises(
        ServerError,
        match=rf"^request: refused with 400: empty request body: expected {PICTURE_FILE}",
    ):
        predict_bytes(prediction_endpoint(url), b"", "image/png")
    with pytest.raises(ServerError, match="refused with 404: nothing is answered here: expected /predictions/tiny or "):
        predict_bytes(prediction_endpoint(f"{server.url}/predictions/other"), PICTURES[0], "image/png")


def test_predictions_on_loopback_are_all_that_a_port_answers(server: ServerState) -> None:
    listening = {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in belonging(server)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", server.port)}
    for method, path in [
        ("GET", "/models"),
        ("GET", "/models/tiny"),
        ("PUT", "/models/tiny?min_worker=0"),
        ("DELETE", "/models/tiny"),
        ("POST", "/models?url=tiny.mar"),
        ("POST", "/workflows?url=http://127.0.0.1/x.war"),
        ("GET", "/config"),
        ("OPTIONS", "/"),
    ]:
        assert httpx.request(method, f"{server.url}{path}").status_code == 404


def test_management_is_for_this_user_and_registers_nothing(server: ServerState) -> None:
    folder = Path(server.folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    if server.server != "torchserve":
        assert not [path for path in folder.rglob("*") if path.is_socket()]
        return
    assert (folder / INFERENCE_SOCKET).is_socket()
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(folder / MANAGEMENT_SOCKET))) as client:
        for path in ("/models?url=tiny.mar", "/models?url=http://127.0.0.1/x.mar"):
            assert client.post(f"http://localhost{path}").status_code == 405
        assert client.post("http://localhost/workflows?url=http://127.0.0.1/x.war").status_code >= 400


def test_no_process_of_the_server_learns_a_secret(server: ServerState) -> None:
    processes = belonging(server)
    assert len(processes) > server.workers
    for process in processes:
        environment = process.environ()
        assert "canary" not in " ".join(environment.values())
        assert environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_port_in_use_is_named_at_once(server: ServerState, archive: Archive) -> None:
    with pytest.raises(ServerError) as caught:
        lifecycle.serve(archive, port=server.port)
    assert str(caught.value).startswith(
        f"port {server.port}: expected a free port on 127.0.0.1, found: Address already in use; choose another"
    )


def test_stopping_what_is_not_there(server: ServerState) -> None:
    with pytest.raises(
        ServerError, match=f"port 1: expected a server started by `pipeline serve`, found {server.port}"
    ):
        lifecycle.stop(1)
