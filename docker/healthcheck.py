"""Is every model of this server well? Every worker READY, and a golden input answered as the archive says.

Ends with 0, or with 1 and one line on standard error. Runs inside the container with the server's packages.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import socket
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load

MODELS = Path(os.environ.get("MODELS", "/srv/models"))
INFERENCE = os.environ.get("INFERENCE_URL", "http://127.0.0.1:8080")
MANAGEMENT = os.environ.get("MANAGEMENT_SOCKET", "/tmp/management.sock")  # noqa: S108 - as config.properties says
TIMEOUT_S = 5.0


def main() -> int:
    """Check the archives one after the other."""
    try:
        for archive in sorted(MODELS.glob("*.mar")):
            check(archive)
    except (KeyError, OSError, ValueError, http.client.HTTPException, zipfile.BadZipFile) as error:
        sys.stderr.write(f"unhealthy: {type(error).__name__}: {error}\n")
        return 1
    return 0


def check(archive: Path) -> None:
    """One archive's workers and its first golden answer."""
    with zipfile.ZipFile(io.BytesIO(archive.read_bytes())) as members:
        serving = json.loads(members.read("serving.json"))
        golden = load(members.read(serving["golden"]["file"]))
    name = serving["model"]["name"]
    workers = describe(name)[0]["workers"]
    states = [worker["status"] for worker in workers]
    if not states or set(states) != {"READY"}:
        raise ValueError(f"{name}: expected every worker READY, found {', '.join(states) or 'none'}")

    instance = {one["name"]: golden[f"input.{one['name']}"][0].tolist() for one in serving["inputs"]}
    answer = predict(f"{INFERENCE}/predictions/{name}", json.dumps({"instances": [instance]}).encode())
    # Only a classifier's answer is read here; that of any task was held against the golden batch by its worker already,
    # which is not READY before.
    [prediction] = answer["predictions"]
    if serving["task"] != "classification":
        return
    found = prediction["class_id"]
    expected = int(np.argmax(golden[f"logits.{min(serving['golden']['batch_sizes'])}"][0]))
    if found != expected:
        raise ValueError(f"{name}: expected class {expected} for the first golden input, found {found}")


def describe(name: str) -> Any:
    """What the server's management says of a model, over its Unix socket."""
    connection = http.client.HTTPConnection("localhost", timeout=TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.sock.settimeout(TIMEOUT_S)
    try:
        connection.sock.connect(MANAGEMENT)
        connection.request("GET", f"/models/{name}")
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def predict(url: str, body: bytes) -> Any:
    """The JSON answer of an address on this host to a request in JSON."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
