"""The public client of Triton, from an environment of its own, at a real server of each kind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest

from pipeline._handlers.exchange import LOGITS_HEADER
from pipeline.archive.mar import Archive
from pipeline.serving import lifecycle
from pipeline.serving.defaults import ServerName
from pipeline.serving.encoding import encode_png
from pipeline.serving.table import SERVERS

CHECKOUT = Path(__file__).parents[2]
PEERS = CHECKOUT / "benchmarks" / ".venv-serving"
LOCK = CHECKOUT / "benchmarks" / "serving-requirements.lock"
PIXELS = np.random.default_rng(5).integers(0, 256, (3, 1, 8, 6), dtype=np.uint8)
# It is asked as its own examples do. Arguments: address, file of the pixels, file of the pictures.
PROGRAM = """
import json, sys
import numpy as np
import tritonclient.http as triton

address, pixels, pictures = sys.argv[1], np.load(sys.argv[2]), np.load(sys.argv[3], allow_pickle=True)
client = triton.InferenceServerClient(address, concurrency=4)
report = {}


def tensors(values, datatype, **how):
    tensor = triton.InferInput("image", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, **how)
    return [tensor]


def infer(name, inputs, *outputs, **how):
    answer = client.infer("tiny", inputs, outputs=list(outputs) or None, **how)
    report[name] = {
        "logits": answer.as_numpy("logits").tolist(),
        "labels": [label.decode() for label in answer.as_numpy("label")] if not outputs else [],
        "id": answer.get_response().get("id", ""),
    }


report["live"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("tiny")]
report["other"] = client.is_model_ready("other")
report["server"] = client.get_server_metadata()["name"]
report["inputs"] = client.get_model_metadata("tiny")["inputs"]
infer("binary", tensors(pixels, "UINT8"))
infer("json", tensors(pixels, "UINT8", binary_data=False), request_id="7")
infer("version", tensors(pixels, "UINT8"), model_version="1.0")
infer("json answer", tensors(pixels, "UINT8"), triton.InferRequestedOutput("logits", binary_data=False))
infer("pictures", tensors(pictures, "BYTES"))
pending = [client.async_infer("tiny", tensors(pixels[[row]], "UINT8")) for row in range(3)]
report["at once"] = [answer.get_result().as_numpy("logits")[0].tolist() for answer in pending]
try:
    client.infer("tiny", tensors(pixels.astype(np.float32), "FP32"))
except triton.InferenceServerException as error:
    report["refused"] = [error.status(), error.message()]
print(json.dumps(report))
"""


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the peers' environment, which is made where it is not there."""
    environment = {**os.environ, "VENV": str(PEERS), "LOCK": str(LOCK), "PYTHON": sys.executable}
    command = ["bash", "benchmarks/set-up"]
    result = subprocess.run(
        command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    if result.returncode != 0:
        pytest.skip(f"the peers' environment cannot be made: {result.stderr.strip().splitlines()[-1]}")
    return PEERS / "bin" / "python"


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_it_gets_the_answers_that_others_get(
    archive: Archive, python: Path, tmp_path: Path, server: ServerName
) -> None:
    np.save(tmp_path / "pixels.npy", PIXELS)
    np.save(tmp_path / "pictures.npy", np.array([encode_png(pixels) for pixels in PIXELS], dtype=object))
    with lifecycle.running_server(archive.path, server=server) as state:
        body, headers = {"instances": PIXELS.tolist()}, {LOGITS_HEADER: "1"}
        expected = httpx.post(f"{state.url}/predictions/tiny", json=body, headers=headers).json()["predictions"]
        command = [str(python), "-c", PROGRAM, f"127.0.0.1:{state.port}"]
        done = subprocess.run(
            [*command, str(tmp_path / "pixels.npy"), str(tmp_path / "pictures.npy")],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    logits = np.array([answer["logits"] for answer in expected], np.float32)
    labels = [answer["label"] for answer in expected]
    assert report["live"] == [True, True, True]
    assert report["other"] is False
    assert report["server"] == "pipeline"
    assert report["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 6]}]
    for call in ("binary", "json", "version", "json answer", "pictures"):
        np.testing.assert_array_equal(np.array(report[call]["logits"], np.float32), logits, err_msg=call)
        assert report[call]["labels"] == ([] if call == "json answer" else labels), call
    assert report["json"]["id"] == "7"
    np.testing.assert_array_equal(np.array(report["at once"], np.float32), logits)
    status, message = report["refused"]
    assert status == "400"
    assert all(word in message for word in ("expected", "UINT8", "found", "FP32"))
