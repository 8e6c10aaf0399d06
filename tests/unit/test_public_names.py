"""What `import pipeline` offers: a closed list, which no module of the package hides."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import resources

import pipeline

FUNCTIONS = [
    "bench",
    "build",
    "capture",
    "clean",
    "compare",
    "decode_image",
    "diff",
    "doctor",
    "evidence",
    "inspect",
    "load_recipe",
    "predict",
    "predict_archive",
    "profile",
    "report",
    "serve",
    "sign",
    "status",
    "stop",
    "train",
    "verify",
]
ERRORS = [
    "DataError",
    "ElsewhereError",
    "FileError",
    "JobError",
    "PipelineError",
    "ProofError",
    "ServerError",
    "StageError",
    "UsageError",
]
RESULTS = [
    "ArchiveAnswers",
    "ArchiveComparison",
    "ArchiveInspection",
    "ArchiveVerification",
    "BenchResult",
    "BuildResult",
    "CaptureResult",
    "Check",
    "CleanResult",
    "Diagnosis",
    "FileAnswer",
    "GraphComparison",
    "OnnxInspection",
    "Prediction",
    "ProfileResult",
    "RunVerification",
    "ServerState",
    "ServerStatus",
    "TorchScriptInspection",
    "TrainResult",
]
NOUNS = ["Column", "DataSet", "ImageDecoding", "InputSpec", "ModelSpec", "Recipe", "Reporter", "Split"]
NAMES = sorted([*FUNCTIONS, *ERRORS, *RESULTS, *NOUNS])
# Importing a module of a package puts it among the package's names, and may hide a public one.
PROGRAM = """
import importlib, inspect, json, pkgutil, types
import pipeline
for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
    if not module.name.endswith("__main__") and ".example" not in module.name:
        importlib.import_module(module.name)
names = {}
for name in pipeline.__all__:
    value = getattr(pipeline, name)
    empty = []
    if isinstance(value, types.FunctionType):
        signature = inspect.signature(value)
        empty = [key for key, parameter in signature.parameters.items() if parameter.annotation is parameter.empty]
        empty += ["return"] * (signature.return_annotation is signature.empty)
    names[name] = {
        "kind": type(value).__name__ if not isinstance(value, type) else "class",
        "name": value.__name__,
        "documented": bool(inspect.getdoc(value)) and ".\\n" in inspect.getdoc(value) + "\\n",
        "not annotated": empty,
    }
print(json.dumps(names))
"""


def test_the_public_names() -> None:
    assert pipeline.__all__ == NAMES
    assert dir(pipeline) == NAMES
    assert all(callable(getattr(pipeline, name)) for name in NAMES)


def test_no_module_hides_a_public_name_and_each_says_what_it_takes() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fine = {"documented": True, "not annotated": []}
    assert json.loads(done.stdout.splitlines()[-1]) == {
        name: {"kind": "function" if name in FUNCTIONS else "class", "name": name, **fine} for name in NAMES
    }


def test_the_errors_are_one_tree() -> None:
    assert all(issubclass(getattr(pipeline, name), pipeline.PipelineError) for name in ERRORS)


def test_the_version_and_the_types_are_there() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", pipeline.__version__)
    assert resources.files("pipeline").joinpath("py.typed").is_file()
