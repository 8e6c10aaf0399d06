"""The page's way from a Lightning checkpoint to a served answer, as it stands."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.checkpoints import lightning
from tests.command_line import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "own-model.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("\n## From a Lightning checkpoint to a served answer\n")[2].partition("\n## ")[0]
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    for name, block in BLOCKS.items():
        if "." in name:
            (tmp_path / name).write_text(block)
    yield tmp_path
    for name in ("my_nets", "my_data"):
        sys.modules.pop(name, None)


def test_own_code_is_at_most_ten_lines() -> None:
    assert sorted(BLOCKS) == ["digits", "my_data.py", "my_nets.py", "recipe.toml", "train.py"]
    assert sum(bool(line.strip()) for name in ("my_nets.py", "my_data.py") for line in BLOCKS[name].splitlines()) <= 10


def train(folder: Path) -> None:
    """Train as the page does, and save what Lightning saves, for Lightning is no dependency."""
    torch.manual_seed(0)
    network: nn.Module = runpy.run_path(str(folder / "my_nets.py"))["build"]()
    split = runpy.run_path(str(folder / "my_data.py"))["load"]().train
    pixels, labels = torch.from_numpy(split.inputs["pixels"]), torch.from_numpy(split.labels)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(10):
        for rows in torch.split(torch.randperm(len(pixels)), 32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(pixels[rows]), labels[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    torch.save(lightning(network.state_dict()), folder / "digits.ckpt")


@pytest.mark.slow
def test_it_is_built_served_and_asked_as_the_page_says(folder: Path) -> None:
    train(folder)
    port = free_port()
    commands = (
        BLOCKS["digits"]
        .replace("8080", str(port))
        .replace("build recipe.toml", "build recipe.toml --set measure.rounds=6")
    )
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(folder / "state"),
    }
    try:
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
    finally:
        subprocess.run(["pipeline", "stop", "--port", str(port)], env=environment, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "train: weights digits.ckpt: took the tensors behind state_dict.net.; left out: loss.weight" in ended.stderr
    answer = json.loads(next(line for line in ended.stdout.splitlines() if line.startswith("{")))
    asked = runpy.run_path(str(folder / "my_data.py"))["load"]().test
    assert answer["predictions"][0]["label"] == str(asked.labels[0])
