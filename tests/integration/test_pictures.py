"""A folder of pictures through the stage that reads it: what reruns, what is decoded again, and after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.decode import decode_image
from pipeline.data.dataset import read_info, read_split
from pipeline.engine.runner import run_stages
from pipeline.recipe.loading import load_recipe
from pipeline.stages import BUILD
from tests.picture_folders import picture, write
from tests.reporters import Lines

RECIPE = """
name = "tags"
[task]
kind = "multi-label"
[data]
folder = "pictures"
labels = "labels.csv"
size = [6, 5]
[model]
name = "mlp"
arguments = { hidden = [4] }
[train]
epochs = 1
batch_size = 16
"""
COUNT = 60
PROGRAM = """
from pathlib import Path
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Silent
from pipeline.recipe.loading import load_recipe
from pipeline.stages import BUILD
run_stages(BUILD[:1], load_recipe("recipe.toml", ["data.workers=2"]), Path("run"), Silent())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_DIGESTS", str(tmp_path / "digests"))
    write(tmp_path / "pictures", {f"{index}.png": picture(index) for index in range(COUNT)})
    (tmp_path / "recipe.toml").write_text(RECIPE)
    _label(tmp_path, last="round")
    return tmp_path


def _label(folder: Path, *, last: str) -> None:
    rows = [f"{index}.png,{'red;round' if index % 2 else last}" for index in range(COUNT)]
    (folder / "pictures" / "labels.csv").write_text("\n".join(["file,tags", *rows]))


def _read(folder: Path, *overrides: str) -> list[str]:
    """Run the stage, and return what it says."""
    said = Lines()
    run_stages(BUILD[:1], load_recipe(folder / "recipe.toml", list(overrides)), folder / "run", said)
    return said.said


def test_what_changes_reruns_and_only_new_pictures_are_decoded(folder: Path) -> None:
    first = _read(folder)
    assert "data: 60 pictures are decoded to 6 x 5" in first
    info = read_info(folder / "run" / "data" / "data.json")
    assert info.classes == ("red", "round")
    assert info.task.kind == "multi-label"
    served = {decode_image(picture(index), info.inputs[0]).tobytes() for index in range(COUNT)}
    splits = [read_split(folder / "run" / "data" / f"{name}.safetensors") for name in ("train", "validation", "test")]
    assert {row.tobytes() for split in splits for row in split.inputs["image"]} == served
    assert _read(folder) == ["data: up to date"]
    assert _read(folder, "data.workers=1") == ["data: up to date"]
    _label(folder, last="")
    again = _read(folder)
    assert again[0] == "data: outside data.labels labels.csv changed"
    assert not any("decoded to" in line for line in again)
    write(folder / "pictures", {"0.png": picture(999)})
    changed = _read(folder)
    assert changed[0] == "data: outside data.folder pictures changed"
    assert "data: 1 pictures are decoded to 6 x 5, 59 are decoded already" in changed


def test_a_killed_build_goes_on_where_it_was(folder: Path) -> None:
    count = 400
    large = {f"{index}.png": picture(index, "JPEG", height=400, width=400) for index in range(COUNT, count)}
    write(folder / "pictures", large)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    rows = [f"{index}.png,red" for index in range(count)]
    (folder / "pictures" / "labels.csv").write_text("\n".join(["file,tags", *rows]))
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=folder, start_new_session=True, env=environment)
    try:
        deadline = time.monotonic() + 60
        while _journal_lines(folder) < 20:
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = _read(folder)
    [line] = [line for line in said if "are decoded to" in line]
    done = int(line.rpartition(", ")[2].partition(" ")[0])
    assert 20 <= done < count
    train = read_split(folder / "run" / "data" / "train.safetensors")
    info = read_info(folder / "run" / "data" / "data.json")
    assert sum(info.sizes.values()) == count
    assert not np.any([not row.any() for row in train.inputs["image"]]), "no row is empty"


def _journal_lines(folder: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (folder / "run").glob(".cache/data/*.journal*"))
