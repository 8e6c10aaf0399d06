"""What `docs/elsewhere.md` says of the file in a bare session is run, and holds for an int8 file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline.data.dataset import read_info
from tests.example_build import Built
from tests.served_models import GREY, build_archive

PAGE = (Path(__file__).parents[2] / "docs" / "elsewhere.md").read_text()


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("block", "kind"), list(zip(BLOCKS, ("onnxruntime", "torchscript"), strict=True)))
def test_a_python_block_runs_on_an_archive(
    block: str, kind: Literal["onnxruntime", "torchscript"], tmp_path: Path
) -> None:
    archive = build_archive(tmp_path / "archive", [GREY], kind=kind)
    assert block.count("model_store/fashion-cnn.mar") == 1
    code = block.replace("model_store/fashion-cnn.mar", str(archive.path))
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in archive.serving.labels


def test_every_onnx_file_of_a_build_answers_the_same_in_a_bare_session(built: Built) -> None:
    samples = load_file(built.run_dir / "candidates" / "samples.safetensors")
    inputs = {key.removeprefix("input."): values for key, values in samples.items() if key.startswith("input.")}
    specs = read_info(built.run_dir / "data" / "data.json").inputs
    files = sorted((built.run_dir / "candidates").glob("*.onnx.*/model.onnx"))
    assert any("int8-static" in str(file) for file in files)
    for file in files:
        bare = import_onnx_runtime().InferenceSession(file)
        ours = load_model(file.parent, RuntimeSpec(kind="onnxruntime", file=file.name), specs)
        for size in (1, 7):
            batch = {name: values[:size] for name, values in inputs.items()}
            np.testing.assert_array_equal(bare.run(None, batch)[0], ours(batch))
