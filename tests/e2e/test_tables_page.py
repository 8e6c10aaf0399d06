"""What the page on tables shows, run as it stands: a file, a recipe, a build, a server that is asked."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.recipe.loading import load_recipe
from tests.command_line import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCKS = BLOCK.findall(PAGE)
# The second person of the table, whose disease went 75 points.
TARGET, TOLERANCE = 75, 60


def test_every_recipe_of_the_page_is_one(tmp_path: Path) -> None:
    recipes = [block for kind, block in BLOCKS if kind == "toml"]
    assert len(recipes) == 2
    needed = '[model]\nname = "mlp"\narguments = { hidden = [8] }\n'
    for number, block in enumerate(recipes):
        text = block if "[model]" in block else needed + block.replace("[data]", '[data]\ntable = "t"\ntargets = ["y"]')
        (tmp_path / f"recipe{number}.toml").write_text(text)
        load_recipe(tmp_path / f"recipe{number}.toml")


@pytest.mark.slow
def test_the_regression_of_the_page(tmp_path: Path) -> None:
    port = free_port()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PIPELINE_STATE": str(tmp_path / "state"),
    }
    spoken = ""
    for kind, block in BLOCKS:
        if kind == "toml" and block.startswith("# diabetes.toml"):
            (tmp_path / "diabetes.toml").write_text(block)
        elif kind == "sh":
            script = block.replace("serve model", f"serve --port {port} model").replace(":8080/", f":{port}/")
            ended = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=5000,
            )
            assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
            spoken += ended.stdout
    answer = next(line for line in spoken.splitlines() if line.startswith('{"predictions"'))
    [prediction] = json.loads(re.sub(r"\}stopped.*", "}", answer))["predictions"]
    [value] = prediction["values"]
    assert (value["name"], value["unit"]) == ("progression", "points")
    assert abs(value["value"] - TARGET) <= TOLERANCE
