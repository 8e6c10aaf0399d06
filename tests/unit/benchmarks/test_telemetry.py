"""The tools that we are compared with report nothing from here, either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.contender import Peer

PROGRAM = """
import os, sys
from benchmarks.telemetry import switch_off
switch_off(sys.argv[1])
try:
    import openvino_telemetry
except ImportError:
    print("sends nothing", *sorted(set(sys.argv[2:]) & set(os.environ)))
"""
VARIABLES = {"openvino": ["NNCF_CI"], "olive": ["CI", "OLIVE_DISABLE_TELEMETRY"]}


@pytest.mark.parametrize("peer", ["openvino", "olive", "onnxruntime"])
def test_each_finds_out_before_it_is_imported(peer: Peer, tmp_path: Path) -> None:
    (tmp_path / "openvino_telemetry.py").write_text("")  # as installed beside OpenVINO
    unset = {name for names in VARIABLES.values() for name in names}
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), str(tmp_path)])
    command = [sys.executable, "-c", PROGRAM, peer, *sorted(unset)]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert process.stdout.split() == ["sends", "nothing", *VARIABLES.get(peer, [])]
