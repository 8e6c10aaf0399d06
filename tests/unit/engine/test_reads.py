"""The recording of the files that the user's code reads."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import pipeline
from pipeline._handlers import decode
from pipeline.engine.reads import Recording, difference, observed, recorded, recording
from pipeline.models import fashion

FACTORY = "my_nets:build"


def project(folder: Path) -> Path:
    """A recipe's folder with weights in two formats."""
    (folder / "weights").mkdir(parents=True)
    np.save(folder / "weights" / "mean.npy", np.zeros(3))
    save_file({"weight": np.zeros(3)}, folder / "weights" / "trunk.safetensors")
    return folder


def test_what_python_opens_is_recorded_and_a_change_is_told(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_text("1")
    with recording(folder) as reads, observed(FACTORY, folder):
        np.load(folder / "weights" / "mean.npy")
        elsewhere.read_text()
    assert list(reads.digests) == ["weights/mean.npy", str(elsewhere)]
    assert difference(reads.digests, folder) == ""
    elsewhere.write_text("2")
    assert difference(reads.digests, folder) == f"{elsewhere}, which the recipe's code read, changed"
    elsewhere.unlink()
    assert difference(reads.digests, folder) == f"{elsewhere}, which the recipe's code read, is missing"


def test_a_file_that_safetensors_opens_past_python_is_recorded(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with recording(folder) as reads:
        load_file(folder / "weights" / "trunk.safetensors")  # our own code, not the user's
        with observed(FACTORY, folder):
            load_file(folder / "weights" / "trunk.safetensors")
    assert reads.gap == ""
    assert list(reads.digests) == ["weights/trunk.safetensors"]
    save_file({"weight": np.ones(3)}, folder / "weights" / "trunk.safetensors")
    assert difference(reads.digests, folder) == "weights/trunk.safetensors, which the recipe's code read, changed"


def test_our_own_sources_are_nothing_that_the_user_reads(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with recording(folder) as reads, observed(FACTORY, folder):
        for module in (pipeline, fashion, decode):
            Path(str(module.__file__)).read_bytes()
    assert reads.digests == {}


def test_the_working_directory_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = project(tmp_path / "recipe"), project(tmp_path / "elsewhere")
    monkeypatch.chdir(elsewhere)
    with recording(folder) as reads, observed(FACTORY, folder):
        load_file("weights/trunk.safetensors")
        np.load("weights/mean.npy")
    assert sorted(reads.digests) == ["./weights/mean.npy", str(elsewhere / "weights" / "trunk.safetensors")]
    monkeypatch.chdir(tmp_path)  # here the same code would find no such file
    assert difference(reads.digests, folder) == "./weights/mean.npy, which the recipe's code read, is missing"


def test_nothing_counts_that_is_not_the_users(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    run_dir = folder / "runs" / "one"
    run_dir.mkdir(parents=True)
    (run_dir / "manifest.json").write_text("{}")
    with recording(folder, leave_out=[run_dir]) as reads, observed(FACTORY, folder):
        Path(np.__file__).read_bytes()
        (run_dir / "manifest.json").read_text()
        Path("/proc/self/status").read_text()
        with tempfile.NamedTemporaryFile("w+", dir=folder) as written:  # a file that the code wrote is no input
            written.write("text")
            written.flush()
            Path(written.name).read_text()
        (folder / "log.txt").open("a").close()
        (folder / "cache.npy").write_bytes((folder / "weights" / "mean.npy").read_bytes())
        np.load(folder / "cache.npy")
    assert list(reads.digests) == ["weights/mean.npy"]


def test_what_is_covered_otherwise_is_not_digested_twice(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with recording(folder) as reads, observed(FACTORY, folder, covered=[folder / "weights"]):
        np.load(folder / "weights" / "mean.npy")
        load_file(folder / "weights" / "trunk.safetensors")
    assert reads.digests == {}


def test_a_file_that_was_not_there_may_appear(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with recording(folder) as reads, observed(FACTORY, folder), pytest.raises(FileNotFoundError):
        (folder / "better.npy").open()
    assert difference(reads.digests, folder) == ""
    (folder / "better.npy").write_bytes(b"")
    assert difference(reads.digests, folder) == "better.npy, which the recipe's code read, is there now"


def test_a_folder_that_was_listed_may_get_another_file(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with recording(folder) as reads, observed(FACTORY, folder):
        sorted((folder / "weights").glob("*.npy"))
    assert list(reads.digests) == ["weights/"]
    (folder / "runs").mkdir()
    assert difference(reads.digests, folder) == ""
    np.save(folder / "weights" / "second.npy", np.zeros(3))
    assert difference(reads.digests, folder) == "weights/, which the recipe's code read, changed"


def test_what_a_module_read_when_it_was_imported_counts_later_too(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    with observed("my_data:load", folder, importing=True):  # before any stage runs
        np.load(folder / "weights" / "mean.npy")
        (folder / "late.py").touch()
    with observed("my_data:load", folder):
        (folder / "late.py").read_text()
    with recording(folder) as reads, observed(FACTORY, folder):
        pass
    assert list(reads.digests) == ["weights/mean.npy"]  # another factory's sources are not this one's
    with recording(folder) as reads, observed("my_data:load", folder):
        assert recorded() == {}
    assert list(reads.digests) == ["weights/mean.npy", "late.py"]


def test_a_call_counts_for_the_stage_that_made_it_and_as_it_was_then(tmp_path: Path) -> None:
    folder = project(tmp_path / "recipe")
    for value in (1, 2):
        np.save(folder / "weights" / "mean.npy", np.full(3, value))
        with recording(folder) as reads:
            with observed(FACTORY, folder):
                np.load(folder / "weights" / "mean.npy")
            assert difference(reads.digests, folder) == ""
            np.save(folder / "weights" / "mean.npy", np.full(3, -value))  # a later call of the same stage sees it
            with observed(FACTORY, folder):
                np.load(folder / "weights" / "mean.npy")
        assert difference(reads.digests, folder) == "weights/mean.npy, which the recipe's code read, changed"
    with recording(folder) as reads, observed("my_data:load", folder):
        pass
    assert reads.digests == {}


def test_without_the_users_code_nothing_is_watched(tmp_path: Path) -> None:
    with recording(tmp_path) as reads:
        (tmp_path / "file").touch()
        (tmp_path / "file").read_text()
    assert (reads.digests, reads.gap) == ({}, "")
    assert isinstance(reads, Recording)


def test_more_folders_than_can_be_watched_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.engine.inotify.MOST_FOLDERS", 2)
    folder = project(tmp_path / "recipe")
    (folder / "more").mkdir()
    with recording(folder) as reads, observed(FACTORY, folder):
        load_file(folder / "weights" / "trunk.safetensors")
    assert reads.gap.startswith("more than 2 folders below ")
