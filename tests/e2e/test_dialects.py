"""Clients of KServe's protocols at a real server of each kind: the same answers as at our own address."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from pipeline._handlers.exchange import LOGITS_HEADER
from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.encoding import encode_png
from pipeline.serving.server import ServerState
from pipeline.serving.table import SERVERS
from tests.served_models import LABELS

PIXELS = np.random.default_rng(5).integers(0, 256, (3, 1, 8, 6), dtype=np.uint8)
TENSOR = {"name": "image", "shape": [3, 1, 8, 6], "datatype": "UINT8"}


@pytest.fixture(scope="module", params=SERVERS)
def server(archive: Archive, request: pytest.FixtureRequest) -> Iterator[ServerState]:
    with lifecycle.running_server(archive.path, server=request.param) as state:
        yield state


@pytest.fixture(scope="module")
def expected(server: ServerState) -> list[dict[str, object]]:
    """The answers at our own address, with logits."""
    body = {"instances": PIXELS.tolist()}
    response = httpx.post(f"{server.url}/predictions/tiny", json=body, headers={LOGITS_HEADER: "1"})
    answers: list[dict[str, object]] = response.json()["predictions"]
    return answers


def test_the_first_protocol(server: ServerState, expected: list[dict[str, object]]) -> None:
    address = f"{server.url}/v1/models/tiny"
    for key in ("instances", "inputs"):
        answers = httpx.post(f"{address}:predict", json={key: PIXELS.tolist()}).json()["predictions"]
        assert [answer["label"] for answer in answers] == [answer["label"] for answer in expected]
    assert httpx.get(address).json()["ready"] is True
    assert httpx.get(f"{server.url}/v1/models").json() == {"models": ["tiny"]}
    assert httpx.get(f"{server.url}/v1/models/other").status_code == 404
    refused = httpx.post(f"{address}:predict", json={"instances": [{"wrong": 1}]})
    assert (refused.status_code, refused.json()["error"]) == (400, "instance 0: wrong inputs")


@pytest.mark.parametrize("version", ["", "/versions/1.0"])
def test_inference_in_json(server: ServerState, expected: list[dict[str, object]], version: str) -> None:
    body = {"id": "a", "inputs": [{**TENSOR, "data": PIXELS.ravel().tolist()}]}
    answer = httpx.post(f"{server.url}/v2/models/tiny{version}/infer", json=body).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("tiny", "1.0", "a")
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["logits"]["shape"] == [3, len(LABELS)]
    logits = np.array(outputs["logits"]["data"], np.float32)
    np.testing.assert_array_equal(logits, np.array([one["logits"] for one in expected], np.float32).ravel())
    assert outputs["label"]["data"] == [one["label"] for one in expected]


def test_inference_with_binary_data(server: ServerState, expected: list[dict[str, object]]) -> None:
    head = json.dumps(
        {
            "inputs": [{**TENSOR, "parameters": {"binary_data_size": PIXELS.nbytes}}],
            "outputs": [{"name": "logits", "parameters": {"binary_data": True}}],
        }
    ).encode()
    response = httpx.post(
        f"{server.url}/v2/models/tiny/infer",
        content=head + PIXELS.tobytes(),
        headers={"Inference-Header-Content-Length": str(len(head)), "content-type": "application/octet-stream"},
    )
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers["inference-header-content-length"])
    assert json.loads(response.content[:length])["outputs"][0]["name"] == "logits"
    logits = np.frombuffer(response.content[length:], np.float32)
    np.testing.assert_array_equal(logits, np.array([one["logits"] for one in expected], np.float32).ravel())


def test_a_picture_file_as_bytes(server: ServerState, expected: list[dict[str, object]]) -> None:
    files = [encode_png(pixels) for pixels in PIXELS]
    data = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    tensor = {"name": "image", "shape": [3], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [tensor]}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    answer = httpx.post(f"{server.url}/v2/models/tiny/infer", content=head + data, headers=headers).json()
    labels = next(output["data"] for output in answer["outputs"] if output["name"] == "label")
    assert labels == [one["label"] for one in expected]


def test_a_file_may_be_put_as_curl_does_with_it(server: ServerState, expected: list[dict[str, object]]) -> None:
    address = f"{server.url}/predictions/tiny"
    answer = httpx.put(address, content=encode_png(PIXELS[0]))
    assert (answer.status_code, answer.json()["label"]) == (200, expected[0]["label"])
    refused = httpx.request("DELETE", address)
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST, PUT")


def test_refusals_say_all_in_their_error(server: ServerState) -> None:
    address = f"{server.url}/v2/models/tiny/infer"
    body = {"inputs": [{**TENSOR, "datatype": "FP32", "data": PIXELS.ravel().tolist()}]}
    refused = httpx.post(address, json=body)
    assert refused.status_code == 400
    assert all(name in refused.json()["error"] for name in ("expected", "UINT8", "found", "FP32"))
    header = httpx.post(address, content=b"{}", headers={"Inference-Header-Content-Length": "-1"})
    assert header.status_code == 400
    assert header.json()["error"].startswith("wrong Inference-Header-Content-Length: expected the length of the JSON")
    assert httpx.get(address).status_code == 405
    assert httpx.post(f"{server.url}/v2/models/tiny/versions/9/infer", json=body).status_code == 404


def test_what_is_said_of_server_and_model(server: ServerState, archive: Archive) -> None:
    said = httpx.get(f"{server.url}/v2").json()
    assert (said["name"], said["extensions"]) == ("pipeline", ["binary_tensor_data"])
    model = httpx.get(f"{server.url}/v2/models/tiny").json()
    assert model["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 6]}]
    assert model["properties"]["digest"] == archive.digest
    assert model == httpx.get(f"{server.url}/v2/models/tiny/versions/1.0").json()
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/tiny/ready"):
        assert httpx.get(f"{server.url}{path}").status_code == 200
