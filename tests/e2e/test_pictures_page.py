"""What the page on pictures shows, run as it stands: drawings, a recipe, a build, a server that is asked."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.recipe.loading import load_recipe
from tests.command_line import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def _run(script: str, folder: Path) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(folder / "state"),
        "PIPELINE_DIGESTS": str(folder / "digests"),
    }
    command = ["bash", "-euo", "pipefail", "-c", script]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=5000
    )
    assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def _recipe(folder: Path) -> Path:
    block = next(block for kind, block in BLOCKS if kind == "toml")
    path = folder / block.partition("\n")[0].removeprefix("# ")
    path.write_text(block)
    return path


def test_the_recipe_of_the_page_is_one(tmp_path: Path) -> None:
    recipe = load_recipe(_recipe(tmp_path))
    assert (recipe.data.source, recipe.task.kind) == ("folder", "multi-label")


@pytest.mark.slow
def test_the_tagger_of_the_page(tmp_path: Path) -> None:
    _recipe(tmp_path)
    draw, build = [block for kind, block in BLOCKS if kind == "sh"]
    _run(draw, tmp_path)
    port = free_port()
    spoken = _run(build.replace("serve model", f"serve --port {port} model").replace(":8080/", f":{port}/"), tmp_path)
    answer = next(line for line in spoken.splitlines() if line.startswith('{"labels"'))
    found = {label["label"] for label in json.loads(re.sub(r"\}stopped.*", "}", answer))["labels"]}
    with (tmp_path / "drawings" / "labels.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    assert found == set(first["tags"].split(";"))
