"""What `import pipeline` offers: a closed list, which no module of the package hides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import resources

import pipeline

NAMES = [
    "BuildResult",
    "CleanResult",
    "DataSet",
    "ImageDecoding",
    "InputSpec",
    "ModelSpec",
    "Recipe",
    "Split",
    "build",
    "clean",
    "inspect",
    "load_recipe",
]
# Importing a module of a package puts it among the package's names, and may hide a public one.
PROGRAM = """
import importlib, json, pkgutil, types
import pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    if not module.name.endswith("__main__") and ".example" not in module.name:
        importlib.import_module(module.name)
print(json.dumps([name for name in pipeline.__all__ if isinstance(getattr(pipeline, name), types.ModuleType)]))
"""


def test_the_public_names() -> None:
    assert pipeline.__all__ == NAMES
    assert dir(pipeline) == sorted(NAMES)
    assert all(callable(getattr(pipeline, name)) for name in NAMES)


def test_no_module_hides_a_public_name() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_version_and_the_types_are_there() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pipeline.__version__)
    assert resources.files("pipeline").joinpath("py.typed").is_file()
