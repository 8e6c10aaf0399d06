"""The demo, and every runnable block of the README and of the pages that go on from it, as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

CHECKOUT = Path(__file__).parents[2]
README = (CHECKOUT / "README.md").read_text()
# In the order of the README's list. What `elsewhere.md` shows is run by a test of its own.
PAGES = ("commands", "report", "own-model", "judging", "measuring", "archive", "http", "profiling", "several-processes")
BLOCK = re.compile(r"^```(sh|python|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = [
    (kind, block)
    for page in PAGES
    for kind, block in BLOCK.findall((CHECKOUT / "docs" / f"{page}.md").read_text())
    if kind != "toml"
]


def run(command: list[str], folder: Path) -> str:
    bin_folder = Path(sys.executable).parent
    environment = {
        **os.environ,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(folder / "state"),
        "VENV": os.path.relpath(bin_folder.parent, folder),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=5000
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_pages_have_runnable_blocks() -> None:
    assert [kind for kind, _ in BLOCKS].count("sh") >= 4
    assert [kind for kind, _ in BLOCKS].count("python") == 1


@pytest.mark.slow
def test_the_readmes_own_model_is_built_as_it_stands(tmp_path: Path) -> None:
    files = {}
    for _, block in BLOCK.findall(README):
        name = block.partition("\n")[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
        files[name] = block
    assert sorted(files) == ["flowers.toml", "mine.py", "recipe.toml"]
    names: dict[str, Any] = {}
    exec(files["mine.py"], names)  # noqa: S102 - the page's own words
    torch.manual_seed(0)
    torch.save(names["build"]().state_dict(), tmp_path / "weights.pth")
    pixels = np.random.default_rng(0).integers(0, 256, size=(600, 3, 32, 32), dtype=np.uint8)
    np.savez(tmp_path / "pictures.npz", pixels=pixels, labels=np.arange(600) % 3)
    said = run(
        ["pipeline", "build", "recipe.toml", "--set", "search.effort=off", "--set", "measure.rounds=6"], tmp_path
    )
    assert "Archive: model_store/pets.mar" in said
    for number in range(24):
        colour = ("red", "yellow")[number % 2]
        folder = tmp_path / "flowers" / ("rose" if colour == "red" else "tulip")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40 + number, 60), colour).save(folder / f"{number}.png")
    run(["pipeline", "train", "flowers.toml", "--set", "train.epochs=1"], tmp_path)


def test_what_the_readme_shows_of_the_demo_is_cut_from_all_of_it() -> None:
    part = README.partition("\nIt ends with")[2].partition("\n## ")[0]
    shown = [line for line in part.splitlines() if line.startswith("    ") and line.strip() != "[...]"]
    assert len(shown) > 10
    rest = iter((CHECKOUT / "docs" / "demo.md").read_text().splitlines())
    missing = [line for line in shown if line not in rest]  # each is looked for behind the one before
    assert missing == []


@pytest.mark.slow
def test_the_demo_and_then_every_block(tmp_path: Path) -> None:
    shown = run(["bash", str(CHECKOUT / "scripts" / "demo")], tmp_path)
    test_set = re.search(r"Test set, .*? float (0\.\d+)", shown)
    assert test_set is not None
    assert float(test_set.group(1)) >= 0.925
    label = re.search(r"Its true label: (.*)", shown)
    assert label is not None
    assert f"picture.png: {label.group(1)} 0." in shown
    for kind, block in BLOCKS:
        run(["bash", "-euo", "pipefail", "-c", block] if kind == "sh" else [sys.executable, "-c", block], tmp_path)
