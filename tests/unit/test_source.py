"""Which files a module is made of."""

from __future__ import annotations

from pathlib import Path

from pipeline import source
from pipeline.source import collect, library_versions, source_files


def write(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_imports_are_followed_within_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "nets.py", "import torch\nfrom layers.conv import Conv\ndef build():\n    import late\n")
    write(tmp_path, "layers/__init__.py", "")
    write(tmp_path, "layers/conv.py", "from . import base\nfrom ..unrelated import x\nimport json\n")
    write(tmp_path, "layers/base.py", "import numpy as np\n")
    write(tmp_path, "late.py", "")
    write(tmp_path, "other.py", "")
    found = collect("nets", tmp_path)
    assert list(found.files) == ["late.py", "layers/__init__.py", "layers/base.py", "layers/conv.py", "nets.py"]
    assert {"torch", "numpy"} <= found.libraries
    assert "json" not in found.libraries


def test_an_edit_changes_the_digest(tmp_path: Path) -> None:
    write(tmp_path, "nets.py", "a = 1\n")
    before = source_files("nets", tmp_path)
    write(tmp_path, "nets.py", "a = 2\n")
    assert source_files("nets", tmp_path) != before


def test_a_module_from_elsewhere_has_no_files(tmp_path: Path) -> None:
    assert source_files("json", tmp_path) == {}


def test_what_only_a_type_checker_sees_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\n")
    write(tmp_path, "b.py", "")
    assert list(source_files("a", tmp_path)) == ["a.py"]


def test_a_loop_of_imports_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "import b\n")
    write(tmp_path, "b.py", "import a\n")
    assert list(source_files("a", tmp_path)) == ["a.py", "b.py"]


def test_this_package_is_followed_and_libraries_are_named() -> None:
    root = Path(source.__file__).parent.parent
    found = collect("pipeline.runner", root, within=("pipeline", "handlers"))
    assert {"pipeline/runner.py", "pipeline/stage.py", "pipeline/errors.py", "pipeline/__init__.py"} <= set(found.files)
    assert "pipeline/cli.py" not in found.files
    assert {"filelock", "pydantic"} <= set(library_versions(found.libraries))
