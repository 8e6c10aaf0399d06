"""The worked example is written whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands.init import FILES, init_project
from pipeline.errors import FileError, UsageError
from pipeline.recipe.loading import load_recipe


def test_the_example_is_written_and_its_recipe_is_one(tmp_path: Path) -> None:
    paths = init_project(tmp_path / "new" / "project")
    assert [path.name for path in paths] == list(FILES)
    assert all(path.read_text() for path in paths)
    assert load_recipe(paths[0]).name == "digits"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "my_nets.py").write_text("mine")
    with pytest.raises(UsageError, match=r"expected none of .*, found my_nets\.py; give another folder"):
        init_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["my_nets.py"]


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="expected a folder to write to, found"):
        init_project(tmp_path / "file" / "project")
