"""What `docs/elsewhere.md` says of the file in a bare session is run, and holds for an int8 file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from pipeline._handlers.decode import InputSpec
from pipeline._handlers.description import RuntimeSpec
from pipeline._handlers.model_file import load_model, run_chunks
from pipeline._handlers.onnx_runtime_import import import_onnx_runtime
from pipeline._handlers.task_answers import TaskName
from pipeline.commands.report_page.elsewhere import elsewhere_of
from pipeline.data.dataset import read_info
from pipeline.serving.encoding import encode_png
from tests.example_build import Built
from tests.served_models import COLOUR, GREY, LABELS, SEQUENCE, TABLE, build_archive
from tests.several_outputs import PICTURES, SPECS, pictures, several, written

PAGE = (Path(__file__).parents[2] / "docs" / "elsewhere.md").read_text()


BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(("block", "kind"), list(zip(BLOCKS, ("onnxruntime", "torchscript"), strict=True)))
def test_a_python_block_runs_on_an_archive(
    block: str, kind: Literal["onnxruntime", "torchscript"], tmp_path: Path
) -> None:
    archive = build_archive(tmp_path / "archive", [GREY], kind=kind)
    assert block.count("model_store/fashion-cnn.mar") == 1
    code = block.replace("model_store/fashion-cnn.mar", str(archive.path))
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in archive.serving.labels


CPP = re.findall(r"^```cpp\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def put_picture(folder: Path, *, channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (channels, 40, 30)).astype(np.uint8)
    (folder / "picture.png").write_bytes(encode_png(pixels))


def test_the_code_of_a_report_is_that_of_the_page() -> None:
    snippets = resources.files("pipeline.pages.report").joinpath("snippets")
    for name, block in zip(("onnxruntime.py", "torchscript.py", "onnxruntime.cc"), (*BLOCKS, *CPP), strict=True):
        assert snippets.joinpath(f"{name}.txt").read_text(encoding="utf-8") == block


@pytest.mark.parametrize("kind", ["onnxruntime", "torchscript"])
@pytest.mark.parametrize("task", ["classification", "multi-label", "regression"])
def test_the_code_of_a_report_runs_on_its_archive(
    task: TaskName, kind: Literal["onnxruntime", "torchscript"], tmp_path: Path
) -> None:
    settings = {"tolerance": [0.5]} if task == "regression" else {}
    archive = build_archive(tmp_path, [GREY], kind=kind, task=task, task_settings=settings)
    snippets = {snippet.name: snippet.code for snippet in elsewhere_of(archive)}
    said = run_python(snippets["Python, without this package"], archive.path.parent)
    assert said in archive.serving.labels if task == "classification" else re.fullmatch(r"\[.*\]", said)
    put_picture(archive.path.parent, channels=1)
    both = "\n".join(snippets[name] for name in ("Python, without this package", "One example of your own, in Python"))
    *_, own = run_python(both, archive.path.parent).splitlines()
    assert own in archive.serving.labels if task == "classification" else re.search(r"\d\.\d", own)
    taken = subprocess.run(
        ["bash", "-euc", snippets["Take the file out"]], cwd=archive.path.parent, capture_output=True, check=False
    )
    assert taken.returncode == 0, taken.stderr
    file = archive.serving.runtime.file
    assert (archive.path.parent / file).read_bytes() == archive.members[file]
    assert ("C++, with ONNX Runtime" in snippets) is (kind == "onnxruntime")


@pytest.mark.parametrize("inputs", [[COLOUR], [TABLE], [TABLE, SEQUENCE]])
def test_one_example_of_ones_own_is_asked_about(inputs: list[InputSpec], tmp_path: Path) -> None:
    archive = build_archive(tmp_path, inputs)
    snippets = {snippet.name: snippet for snippet in elsewhere_of(archive)}
    own = snippets["One example of your own, in Python"]
    assert all(f"Input {spec.name}: {spec.dtype}, " in own.text for spec in inputs)
    put_picture(archive.path.parent, channels=3)
    said = run_python(f"{snippets['Python, without this package'].code}\n{own.code}", archive.path.parent)
    assert said.splitlines()[-1] in archive.serving.labels


@pytest.mark.parametrize("name", ["model.onnx", "model.pt"])
def test_the_code_of_a_report_takes_several_outputs(name: str, tmp_path: Path) -> None:
    held = written(tmp_path / name, several())
    model = load_model(tmp_path, held.runtime, (PICTURES,))
    inputs = {"pictures": pictures(6)}
    golden = {"input.pictures": inputs["pictures"], "logits.3": run_chunks(model, inputs, 3)}
    serving = {
        "inputs": [{"name": "pictures"}],
        "runtime": {"file": name, "optimization": "none"},
        "golden": {"file": "golden.safetensors", "batch_sizes": [3]},
    }
    with zipfile.ZipFile(tmp_path / "several.mar", "w") as packed:
        packed.write(tmp_path / name, name)
        packed.writestr("golden.safetensors", save(golden))
        packed.writestr("serving.json", json.dumps(serving))
    archive = build_archive(tmp_path / "another", [PICTURES], labels=LABELS)
    described = replace(
        archive.serving, task="outputs", runtime=held.runtime, labels=tuple(spec.name for spec in SPECS)
    )
    snippets = elsewhere_of(replace(archive, path=tmp_path / "several.mar", serving=described))
    [code] = [snippet.code for snippet in snippets if snippet.name.startswith("Python")]
    assert re.fullmatch(r"\[.*\]", run_python(code, tmp_path), re.DOTALL)
    assert not any(snippet.name.startswith("C++") for snippet in snippets)


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_cpp_of_a_report_names_what_the_archive_takes(tmp_path: Path) -> None:
    wide = InputSpec(name="rows", dtype="float32", shape=(2, 3), low=-1.0, high=1.0)
    archive = build_archive(tmp_path, [wide], labels=["a", "b", "c", "d", "e"])
    [code] = [snippet.code for snippet in elsewhere_of(archive) if snippet.name.startswith("C++")]
    for part in (
        "std::vector<float> pixels(2 * 3)",
        "{1, 2, 3}",
        "shape, 3)",
        '{"rows"}',
        "index < 5",
        "sizeof pixels[0]",
    ):
        assert part in code


def test_every_onnx_file_of_a_build_answers_the_same_in_a_bare_session(built: Built) -> None:
    samples = load_file(built.run_dir / "candidates" / "samples.safetensors")
    inputs = {key.removeprefix("input."): values for key, values in samples.items() if key.startswith("input.")}
    specs = read_info(built.run_dir / "data" / "data.json").inputs
    files = sorted((built.run_dir / "candidates").glob("*.onnx.*/model.onnx"))
    assert any("int8-static" in str(file) for file in files)
    for file in files:
        bare = import_onnx_runtime().InferenceSession(file)
        ours = load_model(file.parent, RuntimeSpec(kind="onnxruntime", file=file.name), specs)
        for size in (1, 7):
            batch = {name: values[:size] for name, values in inputs.items()}
            np.testing.assert_array_equal(bare.run(None, batch)[0], ours(batch))
