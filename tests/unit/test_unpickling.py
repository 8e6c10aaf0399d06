"""No Python unpickler runs on any input: held against the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("pipeline", "handlers", "docker") for path in (ROOT / folder).rglob("*.py"))
UNPICKLERS = ("pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas")
# These read a pickle's opcodes and run none of them.
READS_OPCODES = [
    "pipeline/inspection/torchscript_archive.py",
    "pipeline/model_code/pickled.py",
    "pipeline/models/pickle_facts.py",
]
# A TorchScript file is loaded by torch's C++ reader, which knows tensors and plain values only: here when it was just
# made and is compared with what it was made from, and in the runtime, whose callers checked its digest.
LOADS_TORCHSCRIPT = ["handlers/model_file.py", "pipeline/export/torchscript.py"]


def faults(source: str) -> Iterator[str]:
    """What in a source would run an unpickler."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (f"import {one.name}" for one in names if one.name.partition(".")[0] in UNPICKLERS)
            case ast.ImportFrom(module=str(module), names=names) if module.partition(".")[0] in UNPICKLERS:
                # The exception that torch.load raises on a refused file.
                yield from (f"from {module} import {one.name}" for one in names if one.name != "UnpicklingError")
            case ast.Call(func=ast.Attribute(value=value, attr="load"), keywords=keywords):
                given = {one.arg: ast.unparse(one.value) for one in keywords}
                match ast.unparse(value):
                    case "torch" if given.get("weights_only") != "True":
                        yield "torch.load without weights_only=True"
                    case "np" | "numpy" if given.get("allow_pickle") != "False":
                        yield "numpy.load without allow_pickle=False"
                    case _:
                        pass
            case _:
                pass


def using(text: str) -> list[str]:
    return [path.relative_to(ROOT).as_posix() for path in SOURCES if text in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_unpickler(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


def test_opcodes_are_read_in_known_places() -> None:
    assert using("pickletools") == READS_OPCODES


def test_torchscript_is_loaded_in_known_places() -> None:
    # A message about weights that are a TorchScript file shows a command for files that the user trusts.
    assert using("jit.load(") == [*LOADS_TORCHSCRIPT, "pipeline/models/weight_files.py"]


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "numpy.load(path)",
        "np.load(path, allow_pickle=True)",
    ],
)
def test_the_probe_would_notice(source: str) -> None:
    assert list(faults(source))
