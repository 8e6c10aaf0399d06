"""Files and folders that a factory's arguments name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.engine import argument_files
from pipeline.engine.argument_files import argument_digests


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recipe's folder, which lies beside the working directory."""
    recipe, here = tmp_path / "recipe", tmp_path / "here"
    (recipe / "pictures" / "cats").mkdir(parents=True)
    (recipe / "pictures" / "cats" / "one.png").write_bytes(b"1")
    (recipe / "pictures" / ".hidden").write_bytes(b"")
    (recipe / "w.bin").write_bytes(b"1")
    here.mkdir()
    (here / "w.bin").write_bytes(b"2")
    monkeypatch.chdir(here)
    return recipe


def test_paths_are_found_at_any_depth_and_from_both_folders(folder: Path) -> None:
    arguments = {"width": 3, "kind": "relu", "deep": {"list": ["none", "w.bin"]}, "nul": "a\0b", "long": "x" * 5000}
    digests = argument_digests("model.arguments", arguments, folder)
    assert list(digests) == ["model.arguments.deep.list.1 ../here/w.bin", "model.arguments.deep.list.1 w.bin"]
    assert len(set(digests.values())) == 2


def test_of_a_folder_every_file_below_counts(folder: Path) -> None:
    digests = argument_digests("data.arguments", {"root": "pictures"}, folder)
    assert list(digests) == ["data.arguments.root pictures/cats/one.png"]
    (folder / "pictures" / "two.png").write_bytes(b"2")
    assert len(argument_digests("data.arguments", {"root": "pictures"}, folder)) == 2


def test_a_folder_around_the_recipe_or_of_a_run_does_not_count_as_a_whole(folder: Path) -> None:
    (folder / "pictures" / "manifest.json").write_text("{}")
    (folder / "pictures" / ".lock").write_text("")
    arguments = {"here": ".", "above": "..", "root": "/", "run": "pictures", "none": ""}
    assert argument_digests("model.arguments", arguments, folder) == {}


def test_of_very_many_files_sizes_and_times_count_and_the_name_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argument_files, "MOST_FILES", 1)
    (folder / "pictures" / "two.png").write_bytes(b"2")
    before = argument_digests("model.arguments", {"root": "pictures"}, folder)
    assert list(before) == ["model.arguments.root pictures, 2 files by size and time"]
    (folder / "pictures" / "two.png").write_bytes(b"22")
    assert argument_digests("model.arguments", {"root": "pictures"}, folder) != before
