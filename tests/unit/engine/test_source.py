"""The source files that a module is made of."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from pipeline.engine import source
from pipeline.engine.source import collect, factory_digests, library_versions


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
    sources = collect("nets", tmp_path)
    assert list(sources.files) == ["late.py", "layers/__init__.py", "layers/base.py", "layers/conv.py", "nets.py"]
    assert {"torch", "numpy"} <= sources.libraries
    assert "json" not in sources.libraries


def test_an_edit_changes_the_digest(tmp_path: Path) -> None:
    write(tmp_path, "nets.py", "a = 1\n")
    before = collect("nets", tmp_path).files
    write(tmp_path, "nets.py", "a = 2\n")
    assert collect("nets", tmp_path).files != before


def test_a_module_from_elsewhere_has_no_files(tmp_path: Path) -> None:
    assert collect("json", tmp_path).files == {}


def test_what_only_a_type_checker_sees_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\n")
    write(tmp_path, "b.py", "")
    assert list(collect("a", tmp_path).files) == ["a.py"]


def test_what_runs_in_its_place_counts(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b\nelse:\n    import c\n")
    write(tmp_path, "b.py", "")
    write(
        tmp_path,
        "c.py",
        "match 1:\n    case 1:\n        try:\n            pass\n        except OSError:\n            import d\n",
    )
    write(tmp_path, "d.py", "")
    assert list(collect("a", tmp_path).files) == ["a.py", "c.py", "d.py"]


def test_imports_of_a_package_are_its_own_wherever_it_is_reached_from(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "import nets.blocks.conv\n")
    write(tmp_path, "nets/__init__.py", "from . import norm\n")
    write(tmp_path, "nets/norm.py", "")
    write(tmp_path, "nets/blocks/__init__.py", "")
    write(tmp_path, "nets/blocks/conv.py", "")
    assert "nets/norm.py" in collect("a", tmp_path).files


def test_a_loop_of_imports_ends(tmp_path: Path) -> None:
    write(tmp_path, "a.py", "import b\n")
    write(tmp_path, "b.py", "import a\n")
    assert list(collect("a", tmp_path).files) == ["a.py", "b.py"]


def test_this_package_is_followed_and_libraries_are_named() -> None:
    root = Path(source.__file__).parents[2]
    sources = collect("pipeline.engine.runner", root, within=("pipeline",))
    assert {
        "pipeline/engine/runner.py",
        "pipeline/engine/stage.py",
        "pipeline/errors.py",
        "pipeline/__init__.py",
    } <= set(sources.files)
    assert "pipeline/cli.py" not in sources.files
    assert {"filelock", "pydantic"} <= set(library_versions(sources.libraries))


def test_a_factory_that_lies_elsewhere_on_the_path_is_followed_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "installed"
    write(installed, "mypkg_elsewhere/__init__.py", "")
    write(installed, "mypkg_elsewhere/nets.py", "import numpy\nimport mypkg_elsewhere.layers\n")
    write(installed, "mypkg_elsewhere/layers.py", "a = 1\n")
    write(installed, "unrelated.py", "")
    monkeypatch.syspath_prepend(installed)
    before = factory_digests("mypkg_elsewhere.nets:build", tmp_path / "recipe")
    assert {"mypkg_elsewhere/nets.py", "mypkg_elsewhere/layers.py", "numpy"} <= set(before)
    assert "unrelated.py" not in before
    write(installed, "mypkg_elsewhere/layers.py", "a = 2\n")
    after = factory_digests("mypkg_elsewhere.nets:build", tmp_path / "recipe")
    assert {name for name in before if before[name] != after[name]} == {"mypkg_elsewhere/layers.py"}


def test_the_libraries_of_a_factory_count_with_their_versions(tmp_path: Path) -> None:
    write(tmp_path, "nets.py", "import numpy\nfrom pipeline import ModelSpec\n")
    digests = factory_digests("nets:build", tmp_path)
    assert digests["numpy"] == metadata.version("numpy")
    assert "pipeline" not in digests


def test_a_package_that_only_lists_its_modules_can_be_left_out(tmp_path: Path) -> None:
    package = tmp_path / "stages"
    package.mkdir()
    (package / "__init__.py").write_text("from stages import one, two\n")
    (package / "one.py").write_text("import json\n")
    (package / "two.py").write_text("from stages import one\n")
    assert set(collect("stages.one", tmp_path).files) == {"stages/__init__.py", "stages/one.py", "stages/two.py"}
    assert set(collect("stages.one", tmp_path, leave_out=["stages"]).files) == {"stages/one.py"}
    assert set(collect("stages.two", tmp_path, leave_out=["stages"]).files) == {"stages/one.py", "stages/two.py"}
