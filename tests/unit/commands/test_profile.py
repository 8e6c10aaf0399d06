"""What can be refused of a profile is refused before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.commands.profile import _folder_for
from pipeline.engine.documents import write_document
from pipeline.errors import FileError, UsageError
from tests.profiles import profile


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"steps": 0}, "--steps 0: expected 1 or more, found 0"),
        ({"wait": -1}, "--wait -1: expected 0 or more, found -1"),
        ({"warm_up": 0}, "--warm-up 0: expected 1 or more, found 0; the profiler's own first step is slow"),
        ({"rows": 0}, "--rows 0: expected 1 or more, found 0"),
        ({"inference": True, "batch_sizes": [1, 0]}, "--batch-size 0: expected 1 or more, found 0"),
        ({"batch_sizes": [4]}, "--batch-size 4: expected none without --inference; .* --set train.batch_size=4"),
        (
            {"order": "tota"},
            r"--sort tota: expected one of self, total, calls, memory, found tota; did you mean total\?",
        ),
    ],
)
def test_numbers_and_names_are_checked(arguments: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=text):
        pipeline.profile("toy", run_dir=tmp_path / "run", **arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_profile_of_another_kind_is_not_compared_with(tmp_path: Path) -> None:
    write_document(tmp_path / "profile.json", profile())
    with pytest.raises(UsageError, match="expected a profile of inference, found one of training"):
        pipeline.profile("toy", run_dir=tmp_path / "run", inference=True, compare=tmp_path)
    (tmp_path / "other.json").write_text('{"weights": 3}')
    with pytest.raises(FileError, match="expected a profile as pipeline profile writes it"):
        pipeline.profile("toy", run_dir=tmp_path / "run", compare=tmp_path / "other.json")
    assert not (tmp_path / "run").exists()


def test_a_recipe_that_trains_nothing_has_forward_passes_alone(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("def net(): ...\n")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[model]\nfactory = "nets:net"\n[data]\nname = "toy"\n[train]\nepochs = 0\n')
    with pytest.raises(
        UsageError, match=r"train\.epochs: expected 1 or more, found 0: nothing is trained; .*--inference"
    ):
        pipeline.profile(recipe, run_dir=tmp_path / "run")


def test_the_files_need_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(
        FileError, match=r"--out .*: expected a folder to write to, found: (Not a directory|File exists)"
    ):
        pipeline.profile("toy", run_dir=tmp_path / "run", out=tmp_path / "file" / "profile")
    assert not (tmp_path / "run").exists()


def test_what_a_killed_profile_left_is_swept_and_a_running_one_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, os.getpid()):
        (tmp_path / f".unfinished-{pid}-x").mkdir()
    with _folder_for(tmp_path) as unfinished:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
            [f".unfinished-{os.getpid()}-x", unfinished.name]
        )
    assert [path.name for path in tmp_path.iterdir()] == [f".unfinished-{os.getpid()}-x"]
