"""What of a recipe is refused before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands.build import plan
from pipeline.commands.preflight import check_recipe, check_store
from pipeline.errors import FileError, PipelineError
from pipeline.recipe.loading import load_recipe

RECIPE = """
[model]
factory = "my_nets:build"
[data]
factory = "my_data:load"
[train]
loss = "my_losses:focal"
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "my_nets.py").write_text("import torch\ndef build():\n    raise AssertionError('not called here')\n")
    (tmp_path / "my_data.py").write_text("try:\n    from json import load\nexcept ImportError:\n    load = None\n")
    (tmp_path / "my_losses.py").write_text("focal, other = print, 2\ndef _inner():\n    local = 3\n")
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_what_is_there_passes_and_nobodys_code_runs(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)  # of another test
    check_recipe(load_recipe(recipe))
    (recipe.parent / "my_nets.py").write_text("from my_losses import *\n")
    check_recipe(load_recipe(recipe))
    (recipe.parent / "my_nets.py").write_text("globals()['build'] = None\n")
    check_recipe(load_recipe(recipe))
    check_recipe(load_recipe(recipe, ["model.factory=json.decoder:JSONDecoder"]))  # installed
    assert "my_nets" not in sys.modules


@pytest.mark.parametrize(
    ("override", "code", "text"),
    [
        (
            "model.factory=my_net:build",
            2,
            r"model\.factory my_net:build: expected a module my_net in .*, found none; did you mean my_nets",
        ),
        (
            "model.factory=my_nets:biuld",
            2,
            r"expected a function biuld in .*my_nets\.py, found none; did you mean build",
        ),
        ("data.factory=my_data:lad", 2, r"data\.factory my_data:lad: .*; did you mean load\?"),
        ("train.loss=my_losses:local", 2, r"train\.loss my_losses:local: expected a function local in .*my_losses\.py"),
        ("model.weights=w.pth", 7, r"weights .*w\.pth: expected a file, found none"),
        (
            'data={table = "t.csv", targets = ["y"]}',
            7,
            r"data\.table .*t\.csv: expected a CSV or Parquet file, found none",
        ),
        ("data.path=pictures", 7, r"data\.path .*pictures: expected a file or folder, found none"),
        ("package.golden=validaton", 2, r"package\.golden: expected .*validaton; did you mean validation\?"),
        ("train.device=mps", 2, r"train\.device: expected one of this machine, found mps"),
    ],
)
def test_what_is_not_there_is_refused_by_a_plan(recipe: Path, override: str, code: int, text: str) -> None:
    if override == "train.device=mps" and sys.platform == "darwin":
        pytest.skip("it has one")
    with pytest.raises(PipelineError, match=text) as caught:
        plan(recipe, run_dir=recipe.parent / "run", overrides=[override])
    assert caught.value.exit_code == code
    assert not (recipe.parent / "run").exists()


def test_a_module_that_cannot_be_read_is_refused_with_its_line(recipe: Path) -> None:
    (recipe.parent / "my_nets.py").write_text("def build()\n    pass\n")
    with pytest.raises(PipelineError, match=r"model\.factory my_nets:build: SyntaxError: .*my_nets\.py:1\)"):
        check_recipe(load_recipe(recipe))


def test_a_torch_without_cuda_is_known_without_loading_it(recipe: Path, tmp_path: Path) -> None:
    # What torch's index for CPUs installs says so in its version.
    installed = tmp_path / "installed" / "torch-2.13.0+cpu.dist-info" / "METADATA"
    installed.parent.mkdir(parents=True)
    installed.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
    places = os.pathsep.join([str(installed.parents[1]), *sys.path])
    program = (
        "import sys\nfrom pathlib import Path\nfrom pipeline.commands.preflight import check_recipe\n"
        "from pipeline.recipe.loading import load_recipe\n"
        "try:\n    check_recipe(load_recipe(Path(sys.argv[1]), ['train.device=cuda']))\n"
        "except Exception as error:\n    print(error, 'torch' in sys.modules)\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", program, str(recipe)],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "train.device: expected one of this machine, found cuda" in process.stdout
    assert process.stdout.endswith("False\n")


def test_a_store_that_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    check_store(tmp_path / "new" / "store" / "a.mar")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=r"a\.mar: expected to write the archive there at the end, .*file is none"):
        check_store(tmp_path / "file" / "a.mar")
    (tmp_path / "a.mar").mkdir()
    with pytest.raises(FileError, match=r"found a folder .*; give another --model-store"):
        check_store(tmp_path / "a.mar")
