"""ONNX Runtime leaves nothing in an empty home, and sends nothing, where no environment variable keeps it from that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.served_models import TABLE, linear_onnx

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from pipeline._handlers.model_file import load_model
from pipeline._handlers.description import RuntimeSpec
from tests.served_models import TABLE
runtime = RuntimeSpec(kind="onnxruntime", file="model.onnx")
print(load_model(Path(sys.argv[1]), runtime, [TABLE])({"features": np.zeros((1, 4), np.float32)}).shape)
"""


def test_a_session_leaves_nothing_in_an_empty_home(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "model"
    home.mkdir()
    folder.mkdir()
    (folder / "model.onnx").write_bytes(linear_onnx([TABLE]))
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    environment |= {"HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", PROGRAM, str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "(1, 5)\n", done.stderr
    assert list(home.iterdir()) == []
