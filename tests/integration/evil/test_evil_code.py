"""A stranger's archive whose model file would do harm is refused in one line before anything in it runs."""

from __future__ import annotations

import io
import json
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline import inspect
from pipeline.archive.mar import Archive
from pipeline.cli import app
from pipeline.errors import FileError, UsageError
from pipeline.model_code.require import require_safe_model
from tests.command_line import run
from tests.faulty_archives import made_again
from tests.integration.evil.code import CONTENTS, FORMS, ONNX, SCRIPTS, Members, form, script
from tests.served_models import GREY, build_archive, linear_onnx

# Says what verify says of each archive, then which processes were started and which libraries loaded.
PROBE = """
import json, sys
from pathlib import Path
started = []
sys.addaudithook(lambda event, _: started.append(event) if event in ("subprocess.Popen", "os.posix_spawn") else None)
from pipeline.errors import PipelineError
from pipeline.commands.verify_archive import verify_archive
said = []
for path in map(Path, sys.argv[1:]):
    try:
        verify_archive(path)
        said.append((0, ""))
    except PipelineError as error:
        said.append((error.exit_code, str(error)))
print(json.dumps([said, started, [name for name in ("torch", "onnxruntime") if name in sys.modules]]))
"""
# Loads and calls TorchScript files as a worker does, without any check.
LOAD = """
import sys, warnings
warnings.simplefilter("ignore")
import torch
for path in sys.argv[1:]:
    print(torch.jit.load(path)(torch.zeros((2, 1, 8, 6), dtype=torch.uint8)).shape)
"""


@pytest.fixture(scope="module")
def torchscript(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    return build_archive(tmp_path_factory.mktemp("good"), [GREY], kind="torchscript")


@pytest.fixture(scope="module")
def members(torchscript: Archive) -> Members:
    with zipfile.ZipFile(io.BytesIO(torchscript.members["model.pt"])) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


@pytest.fixture(scope="module")
def evil(
    torchscript: Archive, members: Members, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[int, str]]]:
    """What verify says of every evil archive: exit code and line, by name."""
    folder = tmp_path_factory.mktemp("evil")
    canary = folder / "canary"
    onnx_archive = build_archive(folder / "onnx", [GREY])
    files = {name: script(name, members, canary=canary) for name in SCRIPTS}
    files |= {name: form(name, members) for name in FORMS}
    files |= {name: change(torchscript.members["model.pt"]) for name, (change, _) in CONTENTS.items()}
    paths: list[Path] = []
    for number, content in enumerate(files.values()):
        paths.append(folder / f"{number}.mar")
        made_again(torchscript, paths[-1], members={"model.pt": content})
    for number, (change, _) in enumerate(ONNX.values(), len(files)):
        paths.append(folder / f"{number}.mar")
        made_again(onnx_archive, paths[-1], members={"model.onnx": change(onnx_archive.members["model.onnx"])})
    done = subprocess.run([sys.executable, "-c", PROBE, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said, started, loaded = json.loads(done.stdout)
    assert (started, loaded) == ([], []), "neither a process nor a runtime"
    yield dict(zip([*files, *ONNX], said, strict=True))
    assert not canary.exists()


CASES = (
    {name: one.says for name, one in SCRIPTS.items()}
    | {name: says for name, (_, says) in FORMS.items()}
    | {name: says for name, (_, says) in CONTENTS.items()}
    | {name: says for name, (_, says) in ONNX.items()}
)


@pytest.mark.parametrize("name", CASES)
def test_refused_before_anything_runs(evil: dict[str, tuple[int, str]], name: str) -> None:
    code, line = evil[name]
    assert code == 3, line
    assert CASES[name] in line
    assert "\n" not in line


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_harmless_twin_is_not_refused(torchscript: Archive, members: Members, name: str) -> None:
    twin = {"model.pt": script(name, members, canary=None)}
    require_safe_model(torchscript.path, torchscript.serving.runtime, twin)


@pytest.mark.slow
def test_the_attacks_are_real_and_their_twins_run(members: Members, tmp_path: Path) -> None:
    canaries, paths = [], []
    for number, name in enumerate(SCRIPTS):
        canaries.append(tmp_path / f"canary{number}")
        for ending, canary in (("evil", canaries[-1]), ("twin", None)):
            paths.append(tmp_path / f"{number}.{ending}.pt")
            paths[-1].write_bytes(script(name, members, canary=canary))
    done = subprocess.run([sys.executable, "-c", LOAD, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[2, 5]") == len(paths)
    assert [canary.read_bytes() for canary in canaries] == [b"AAAA"] * len(canaries)


def test_every_command_that_loads_refuses(torchscript: Archive, members: Members, tmp_path: Path) -> None:
    path, canary = tmp_path / "evil.mar", tmp_path / "canary"
    made_again(torchscript, path, members={"model.pt": script("a call", members, canary=canary)})
    for arguments in (("verify", path), ("bench", path), ("serve", path, "--port", 18401)):
        ended = CliRunner().invoke(app, [*map(str, arguments)])
        assert isinstance(ended.exception, FileError), ended.exception
        assert str(ended.exception) == (
            f"{path}: model.pt: expected operators that only compute, found aten::from_file (__torch__.net, line 7): "
            "it reads and writes files; nothing of it was loaded; give --allow-operator aten::from_file if you know "
            "who made it and why it needs that"
        )
    assert not canary.exists()


def test_inspect_tells_what_is_refused(members: Members, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(script("a call", members, canary=tmp_path / "canary"))
    assert inspect(tmp_path / "model.pt").to_json()["refused"] == {"aten::from_file": "it reads and writes files"}
    for name, refused in (
        ("a branch's constant from another member", {"weights": "they lie outside the file"}),
        ("an operator of another library, in ONNX", {"mine::Harm": "it needs a library of its own"}),
    ):
        (tmp_path / "model.onnx").write_bytes(ONNX[name][0](linear_onnx([GREY])))
        assert inspect(tmp_path / "model.onnx").to_json()["refused"] == refused


@pytest.mark.parametrize("name", ["from_file", "aten::", "aten::from file", "--public-key"])
def test_a_name_that_no_operator_can_have(torchscript: Archive, name: str) -> None:
    ended = CliRunner().invoke(app, ["verify", str(torchscript.path), f"--allow-operator={name}"])
    assert isinstance(ended.exception, UsageError), ended.exception
    assert f"expected an operator's namespace and name, aten::grad for example, found {name!r}" in str(ended.exception)


def test_what_is_allowed_by_name_still_writes_nothing(torchscript: Archive, members: Members, tmp_path: Path) -> None:
    """In another thread: those that torch starts itself are confined too."""
    path, canary = tmp_path / "evil.mar", tmp_path / "canary"
    made_again(torchscript, path, members={"model.pt": script("in another thread", members, canary=canary)})
    done = run("verify", path, "--allow-operator", "aten::from_file")
    assert done.returncode == 5, done.stderr
    assert "the golden batch cannot be replayed: " in done.stderr
    assert not canary.exists()


def lying(content: bytes, **changed: Any) -> bytes:
    """A safetensors file whose header says another thing of its first tensor."""
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    first = next(name for name in header if name != "__metadata__")
    header[first] |= changed
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


@pytest.mark.parametrize(
    "changed",
    [{"data_offsets": [0, 1 << 40]}, {"shape": [1 << 40]}, {"dtype": "O"}],
    ids=["offsets beyond the file", "a shape of a terabyte", "a type that holds objects"],
)
def test_golden_answers_whose_header_lies(torchscript: Archive, tmp_path: Path, changed: dict[str, Any]) -> None:
    golden = lying(torchscript.members["golden.safetensors"], **changed)
    with pytest.raises(FileError, match="expected golden examples that belong to the model, found: "):
        made_again(torchscript, tmp_path / "a.mar", members={"golden.safetensors": golden})
