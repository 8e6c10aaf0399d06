from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.data import fashion_mnist_files


def test_this_environment_is_found_healthy_apart_from_what_another_server_holds() -> None:
    fashion_mnist_files.ensure()
    checks = doctor.doctor().checks
    assert [check.name for check in checks] == [
        "Python",
        "torch and torchvision",
        "ONNX Runtime",
        "Java",
        "TorchServe",
        "port",
        "disk space",
        "temp directory",
        "state folder",
        "data",
    ]
    broken = [check for check in checks if not check.ok and check.name != "port"]
    assert broken == []
    assert all(check.found and "\n" not in check.found for check in checks)


def test_a_torchvision_of_another_build_is_told_by_its_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What torchvision's CUDA wheel does on import beside a torch without CUDA.
    package = tmp_path / "torchvision" / "__init__.py"
    package.parent.mkdir()
    package.write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor.check_torch(sys.executable)
    assert not check.ok
    assert check.found == "RuntimeError: operator torchvision::nms does not exist"
    assert "different builds" in check.remedy
