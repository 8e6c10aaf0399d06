"""What must be quick to import, proven in fresh processes."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "numpy", "onnx", "onnxruntime", "onnxscript", "matplotlib", "scipy", "sklearn")
LIGHT = (
    "pipeline",
    "pipeline.engine.artifacts",
    "pipeline.engine.cache_key",
    "pipeline.cli",
    "pipeline.cli.app",
    "pipeline.cli.answer",
    "pipeline.cli.building",
    "pipeline.cli.cleaning",
    "pipeline.cli.looking",
    "pipeline.cli.measuring",
    "pipeline.cli.proving",
    "pipeline.cli.recipe_keys",
    "pipeline.cli.run_check",
    "pipeline.cli.scoring",
    "pipeline.cli.serving",
    "pipeline.cli.starting",
    "pipeline.commands.decode_image",
    "pipeline.commands.doctor",
    "pipeline.commands.profile",
    "pipeline.commands.train",
    "pipeline.data.table",
    "pipeline.engine.documents",
    "pipeline.errors",
    "pipeline.archive.evidence.document",
    "pipeline.archive.evidence.forms",
    "pipeline.engine.manifest",
    "pipeline.engine.places",
    "pipeline.engine.probe",
    "pipeline.engine.process",
    "pipeline.recipe.keys",
    "pipeline.recipe.recipe",
    "pipeline.engine.runner",
    "pipeline.serving.table",
    "pipeline.engine.source",
    "pipeline.engine.stage",
)
AREAS = (
    "archive",
    "candidates",
    "checks",
    "commands",
    "compress",
    "data",
    "engine",
    "export",
    "inspection",
    "measure",
    "model_code",
    "models",
    "pages",
    "profiling",
    "recipe",
    "replay",
    "scoring",
    "search",
    "serving",
    "stages",
    "tasks",
    "training",
)

PROGRAM = """
import importlib, sys
for name in sys.argv[2:]:
    importlib.import_module(name)
print(*[name for name in sys.argv[1].split(",") if name in sys.modules])
"""


def loaded_by(*modules: str, heavy: tuple[str, ...] = HEAVY) -> list[str]:
    command = [sys.executable, "-c", PROGRAM, ",".join(heavy), *modules]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def test_light_files_load_nothing_heavy() -> None:
    assert loaded_by(*LIGHT) == []


def test_seeing_that_a_build_is_up_to_date_loads_no_more_than_numpy() -> None:
    needed = ("pipeline.commands.build", "pipeline.cli.render.console", "pipeline.data.load", "pipeline.measure.host")
    assert loaded_by(*needed, "pipeline.models.outside") == ["numpy"]


def test_processes_that_work_with_a_network_load_no_published_ones() -> None:
    assert loaded_by("pipeline.stages.float_network", "pipeline.candidates.eager", heavy=("torchvision", "timm")) == []


def test_areas_load_nothing_by_themselves() -> None:
    assert loaded_by("pipeline._handlers", *(f"pipeline.{area}" for area in AREAS)) == []


def test_the_probe_would_notice() -> None:
    assert loaded_by("numpy") == ["numpy"]


@pytest.mark.parametrize("arguments", [["--help"], ["build", "--help"], ["recipe", "--help"]])
def test_help_answers_without_anything_heavy(arguments: list[str]) -> None:
    program = f"""
import atexit, sys
heavy = {HEAVY!r}
atexit.register(lambda: print("heavy:", *[name for name in heavy if name in sys.modules]))
sys.argv = ["pipeline", *{arguments!r}]
from pipeline.cli import main
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "Usage: pipeline" in ended.stdout
    assert ended.stdout.splitlines()[-1] == "heavy:"
