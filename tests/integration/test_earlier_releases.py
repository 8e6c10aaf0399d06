"""Archives of earlier releases verify, and answer under this installation's handler."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.archive.mar import read_archive
from pipeline.archive.members import same_handler

ARCHIVES = sorted(Path(__file__).parents[1].joinpath("data", "archives").glob("*.mar"))
# What a worker does: the unpacked folder first on the path, its only class made and asked.
WORKER = """
import json, sys, warnings
from pathlib import Path
folder = sys.argv[1]
sys.path.insert(0, folder)
import numpy as np
from safetensors.numpy import load_file
import torchserve_handler
with warnings.catch_warnings():
    warnings.simplefilter("ignore", ResourceWarning)  # TorchServe leaves its version file open
    from ts.context import Context, RequestProcessor
handler = torchserve_handler.Handler()
handler.initialize(Context("digits", folder, None, 1, None, "0.12.0"))
serving = json.loads(Path(folder, "serving.json").read_bytes())
golden = load_file(Path(folder, "golden.safetensors"))
body = golden[f"input.{serving['inputs'][0]['name']}"][0].tobytes()
context = Context("digits", folder, None, 1, None, "0.12.0")
context.request_processor = [RequestProcessor({"content-type": "application/octet-stream"})]
answer = json.loads(handler.handle([{"body": body}], context)[0])
answer["expected"] = int(golden["logits.1"][0].argmax())
answer["source"] = torchserve_handler.__file__
print(json.dumps(answer))
"""


def test_there_are_some_of_every_kind() -> None:
    runtimes = {read_archive(path).serving.runtime.kind for path in ARCHIVES}
    assert runtimes == {"onnxruntime", "torchscript"}
    assert max(path.stat().st_size for path in ARCHIVES) < 200_000
    told = ARCHIVES[0].with_name("README.md").read_text(encoding="utf-8")
    assert all(path.name in told for path in ARCHIVES)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_verifies(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli._run(["verify", str(path), "--digest", read_archive(path).digest]) == 0
    said = capfd.readouterr().out
    assert "golden     same answers in batches of 1" in said
    assert "handler    not this installation's, which replayed the model" in said
    assert ("with evidence" in said) is ("evidence.json" in read_archive(path).members)


@pytest.mark.parametrize("path", ARCHIVES, ids=lambda path: path.stem)
def test_answers_under_this_installations_handler(path: Path, tmp_path: Path) -> None:
    archive = read_archive(path)
    assert not same_handler(archive.members)
    with zipfile.ZipFile(io.BytesIO(archive.to_served_bytes())) as packed:
        packed.extractall(tmp_path / "unpacked")
    command = [sys.executable, "-I", "-c", WORKER, str(tmp_path / "unpacked")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    answer = json.loads(ended.stdout.splitlines()[-1])
    assert answer["digest"] == archive.digest
    assert answer["class_id"] == answer["expected"]
    assert answer["source"].startswith(str(tmp_path))
