"""The wheel holds everything that is used at run time, and works away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.example_build import QUICK

CHECKOUT = Path(__file__).resolve().parents[2]

PROGRAM = """
import json
from importlib import resources
from importlib.metadata import version
import pipeline
from pipeline.recipe.loading import builtin_recipes, load_recipe
for name in builtin_recipes():
    load_recipe(name)
sources = [entry.name for entry in resources.files("pipeline._handlers").iterdir() if entry.name.endswith(".py")]
assert version("proven-pipeline") == pipeline.__version__
print(json.dumps({"pipeline": pipeline.__file__, "recipes": builtin_recipes(), "handlers": sorted(sources)}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=CHECKOUT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment that sees this one's libraries, with the wheel instead of the checkout."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    python = folder / "env" / "bin" / "python"
    run(sys.executable, "-m", "uv", "pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel))
    packages = Path(run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # The path alone: the .pth files in that folder, the checkout's among them, are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(*command: str, cwd: Path | None = None) -> str:
    # The environment must not lend the new one the checkout or this one's packages.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_every_source_and_every_piece_of_package_data_is_in_the_wheel(wheel: Path) -> None:
    expected = {
        (place / path.relative_to(CHECKOUT / folder)).as_posix()
        for folder, place in (("pipeline", Path("pipeline")), ("handlers", Path("pipeline/_handlers")))
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        members = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert members == expected


def test_recipes_and_handlers_are_found_outside_the_checkout(elsewhere: Path) -> None:
    python = elsewhere / "env" / "bin" / "python"
    found = json.loads(run(str(python), "-c", PROGRAM, cwd=elsewhere))
    assert Path(found["pipeline"]).is_relative_to(elsewhere)
    assert {"fashion-cnn", "fashion-cnn-wide", "fashion-mlp"} <= set(found["recipes"])
    assert {"compare.py", "decode.py", "predictor.py", "torchserve_handler.py"} <= set(found["handlers"])


def test_the_command_answers_outside_the_checkout(elsewhere: Path) -> None:
    script = elsewhere / "env" / "bin" / "pipeline"
    assert "Usage: pipeline" in run(str(script), "--help", cwd=elsewhere)


def test_it_builds_and_serves_outside_the_checkout(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_STATE", str(elsewhere / "state"))
    script = str(elsewhere / "env" / "bin" / "pipeline")
    run(script, "init", "example", cwd=elsewhere)
    # The smoke stage of the build is a real server with the wheel's own handlers.
    sets = [*QUICK, 'candidates.formats=["onnx"]', "candidates.variants=[]"]
    run(script, "build", "example/recipe.toml", *(part for one in sets for part in ("--set", one)), cwd=elsewhere)
    serving = json.loads(run(script, "inspect", "model_store/digits.mar", "--json", cwd=elsewhere))["serving"]
    assert serving["candidate"]["name"] == "float.onnx.fp32"
    smoke = json.loads((elsewhere / "runs" / "digits" / "smoke" / "smoke.json").read_text())
    assert (smoke["posted"], smoke["comparison"]["passed"]) == (4, True)
