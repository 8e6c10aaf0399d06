"""The file of answers: whole or not there, and gone on with where it belongs to the same archive and data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline.errors import FileError, StageError
from pipeline.scoring.result_file import ResultFile
from tests.reporters import Lines

IDENTITY = {"the archive": "a" * 64, "the data": {"files": 3}}


def opened(path: Path, reporter: Lines | None = None, identity: object = None) -> ResultFile:
    return ResultFile(path, identity=identity or IDENTITY, head=b"head\n", reporter=reporter or Lines())  # type: ignore[arg-type]


def test_it_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    out.write_text("an older one")
    with opened(out) as file:
        file.add(b"one\n", examples=1, reasons=[])
        file.add(b"two\n", examples=1, reasons=[("b.png", "broken")])
        assert out.read_text() == "an older one"
        file.finish()
    assert out.read_text() == "head\none\ntwo\n"
    assert (file.examples, file.failed, file.reasons, file.resumed_at) == (2, 1, (("b.png", "broken"),), 0)
    assert os.listdir(tmp_path) == ["answers.csv"]  # noqa: PTH208


def test_it_goes_on_behind_what_was_safe(tmp_path: Path) -> None:
    out, lines = tmp_path / "answers.csv", Lines()
    with opened(out) as file:
        file.add(b"one\n", examples=1, reasons=[(0, "bad")])
    with (tmp_path / "answers.csv.partial" / "answers").open("ab") as partial:
        partial.write(b"half of a ro")  # what a killed run wrote behind the last safe row
    with opened(out, lines) as file:
        assert (file.examples, file.failed, file.reasons, file.resumed_at) == (1, 1, ((0, "bad"),), 1)
        file.add(b"two\n", examples=1, reasons=[])
        file.finish()
    assert out.read_text() == "head\none\ntwo\n"
    assert lines.said == [f"{out}: going on behind 1 examples that an earlier run answered"]


def test_another_archive_or_other_data_start_anew_with_a_line(tmp_path: Path) -> None:
    out, lines = tmp_path / "answers.csv", Lines()
    with opened(out) as file:
        file.add(b"one\n", examples=1, reasons=[])
    with opened(out, lines, {**IDENTITY, "the data": {"files": 4}}) as file:
        assert file.examples == 0
        file.add(b"other\n", examples=1, reasons=[])
        file.finish()
    assert lines.said == [f"{out}.partial: the data changed since that run; starting anew"]
    assert out.read_text() == "head\nother\n"


@pytest.mark.parametrize("damage", ["state", "answers"])
def test_what_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    out, lines = tmp_path / "answers.csv", Lines()
    with opened(out) as file:
        file.add(b"one\n", examples=1, reasons=[])
    folder = tmp_path / "answers.csv.partial"
    if damage == "state":
        (folder / "state.json").write_text("{")
    else:
        (folder / "answers").write_bytes(b"he")
    with opened(out, lines) as file:
        assert file.examples == 0
    assert lines.said[0].endswith("starting anew")


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    with opened(out), pytest.raises(StageError, match="another process is writing it; wait for it to end, or give"):
        opened(out)
    with opened(out) as file:  # the first has ended
        file.finish()


def test_nothing_is_left_of_a_run_that_answered_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "answers.csv"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_folder_that_is_none_is_named(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match=rf"{folder}: expected a folder to write answers.csv to, found: "):
        opened(tmp_path / folder / "answers.csv")


def test_a_folder_of_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.csv").mkdir()
    with pytest.raises(FileError, match="expected a file to write, found a folder"):
        opened(tmp_path / "answers.csv")


def test_the_state_says_what_it_belongs_to(tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    with opened(out) as file:
        file.add(b"one\n", examples=1, reasons=[])
    state = json.loads((tmp_path / "answers.csv.partial" / "state.json").read_bytes())
    assert state["identity"] == IDENTITY
    assert (state["examples"], state["size"]) == (1, 9)
