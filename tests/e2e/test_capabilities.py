"""Every command of the page on capabilities, as it stands, in order, in one folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torchvision.models import resnet50
from typer.testing import CliRunner

from pipeline.cli import app
from pipeline.models import published_weights
from tests.capability_rows import commands
from tests.cifar_files import put_archive
from tests.command_line import free_port

# Recipes that take minutes are trained on few pictures, for one epoch.
SHORT = {
    r"train fashion-cnn(-wide)?$": ("train.epochs=1", "data.validation_size=55000"),
    r"train cifar10-resnet18$": ("train.epochs=1", "data.validation_size=20"),
    r"train transfer-resnet50$": ("train.epochs=3", "data.validation_size=20"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, a few pictures in the form of CIFAR-10, and random weights where published ones belong."""
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.save(resnet50().state_dict(), weights / "resnet50-11ad3fa6.pth")
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(weights))
    monkeypatch.setattr(published_weights, "_fault", lambda _path: "")  # no random weights have the published digest
    monkeypatch.setenv("PIPELINE_STATE", str(tmp_path / "state"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path


def run(command: str) -> None:
    """Run a line: a command of ours in this process, because loading torch anew would take most of the time."""
    if not command.startswith("pipeline "):
        bin_folder = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return
    # As a shell does, names with a star become those of the files.
    arguments = [name for part in shlex.split(command)[1:] for name in _files(part)]
    for pattern, overrides in SHORT.items():
        if re.fullmatch(pattern, " ".join(arguments)):
            arguments += [part for override in overrides for part in ("--set", override)]
    ended = CliRunner().invoke(app, arguments)
    assert ended.exit_code == 0, f"{command}\n{ended.output}\n{ended.exception!r}"


def _files(part: str) -> list[str]:
    return [str(path) for path in Path().glob(part)] if "*" in part else [part]


@pytest.mark.slow
# What torch's own compiler does on import and on its first call.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_command_of_the_page(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    lines = [line.replace("8080", str(port)) for line in commands()]
    assert len(lines) > 50
    try:
        for line in lines:
            if "cifar" in line or "transfer" in line:
                with monkeypatch.context() as patch:
                    put_archive(folder / "data", patch)
                    run(line)
            else:
                run(line)
    finally:
        CliRunner().invoke(app, ["stop", "--port", str(port)])
