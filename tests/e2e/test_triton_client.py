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
told = {}


def tensor(values, datatype, **how):
    given = triton.InferInput("image", list(values.shape), datatype)
    given.set_data_from_numpy(values, **how)
    return [given]


def asked(name, inputs, *outputs, **how):
    answer = client.infer("tiny", inputs, outputs=list(outputs) or None, **how)
    told[name] = {
        "logits": answer.as_numpy("logits").tolist(),
        "labels": [label.decode() for label in answer.as_numpy("label")] if not outputs else [],
        "id": answer.get_response().get("id", ""),
    }


told["live"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("tiny")]
told["other"] = client.is_model_ready("other")
told["server"] = client.get_server_metadata()["name"]
told["inputs"] = client.get_model_metadata("tiny")["inputs"]
asked("binary", tensor(pixels, "UINT8"))
asked("json", tensor(pixels, "UINT8", binary_data=False), request_id="7")
asked("version", tensor(pixels, "UINT8"), model_version="1.0")
asked("json answer", tensor(pixels, "UINT8"), triton.InferRequestedOutput("logits", binary_data=False))
asked("pictures", tensor(pictures, "BYTES"))
pending = [client.async_infer("tiny", tensor(pixels[[row]], "UINT8")) for row in range(3)]
told["at once"] = [answer.get_result().as_numpy("logits")[0].tolist() for answer in pending]
try:
    client.infer("tiny", tensor(pixels.astype(np.float32), "FP32"))
except triton.InferenceServerException as error:
    told["refused"] = [error.status(), error.message()]
print(json.dumps(told))
"""


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_it_gets_the_answers_that_others_get(archive: Archive, tmp_path: Path, server: ServerName) -> None:
    environment = {**os.environ, "VENV": str(PEERS), "LOCK": str(LOCK), "PYTHON": sys.executable}
    subprocess.run(["bash", "benchmarks/set-up"], cwd=CHECKOUT, env=environment, check=True)
    np.save(tmp_path / "pixels.npy", PIXELS)
    np.save(tmp_path / "pictures.npy", np.array([encode_png(pixels) for pixels in PIXELS], dtype=object))
    with lifecycle.running_server(archive.path, server=server) as state:
        body, headers = {"instances": PIXELS.tolist()}, {LOGITS_HEADER: "1"}
        expected = httpx.post(f"{state.url}/predictions/tiny", json=body, headers=headers).json()["predictions"]
        command = [PEERS / "bin" / "python", "-c", PROGRAM, f"127.0.0.1:{state.port}"]
        done = subprocess.run(
            [*command, tmp_path / "pixels.npy", tmp_path / "pictures.npy"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    logits, labels = [one["logits"] for one in expected], [one["label"] for one in expected]
    assert told["live"] == [True, True, True]
    assert told["other"] is False
    assert told["server"] == "pipeline"
    assert told["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 1, 8, 6]}]
    for asked in ("binary", "json", "version", "json answer", "pictures"):
        np.testing.assert_array_equal(np.float32(told[asked]["logits"]), np.float32(logits), err_msg=asked)
        assert told[asked]["labels"] == ([] if asked == "json answer" else labels), asked
    assert told["json"]["id"] == "7"
    np.testing.assert_array_equal(np.float32(told["at once"]), np.float32(logits))
    status, message = told["refused"]
    assert status == "400"
    assert all(word in message for word in ("expected", "UINT8", "found", "FP32"))
