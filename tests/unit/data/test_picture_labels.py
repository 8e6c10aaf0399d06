"""A CSV file with a line for each picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.picture_files import SPLIT_FOLDERS
from pipeline.data.picture_labels import Lines, read_labels
from pipeline.errors import DataError
from pipeline.recipe.task import Classification


def _read(folder: Path, text: str) -> Lines:
    (folder / "l.csv").write_text(text, encoding="utf-8")
    return read_labels(folder / "l.csv", Classification(), names=SPLIT_FOLDERS)


def test_the_first_column_holds_the_files_unless_another_is_named_so(tmp_path: Path) -> None:
    lines = _read(tmp_path, '﻿picture,kind\n"a, b.png",cat\n./c.png,dog\n\n')
    assert (lines.files, lines.outputs, lines.targets.tolist()) == (("a, b.png", "c.png"), ("cat", "dog"), [0, 1])
    assert lines.splits == (None, None)
    lines = _read(tmp_path, "kind\tfile\tsplit\ncat\ta.png\tTrain\ndog\tb.png\ttest\n")
    assert (lines.files, lines.splits) == (("a.png", "b.png"), ("train", "test"))


def test_columns_of_targets_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("file,kind,remark\na.png,cat,\nb.png,dog,blurred\n")
    assert read_labels(tmp_path / "l.csv", Classification(), names={}, targets=("kind",)).outputs == ("cat", "dog")
    with pytest.raises(DataError, match=r"data\.targets sort: expected a column of .*l\.csv, found file, kind, remark"):
        read_labels(tmp_path / "l.csv", Classification(), names={}, targets=("sort",))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,kind\n", "expected a header and a line for each picture, found 1 lines"),
        ("file\na.png\n", "a column of files and columns of targets, each with a name of its own, found file"),
        ("file,file\na.png,b\n", "found file, file"),
        ("file,kind\na.png\n", "row 2: expected 2 cells, as in the header, found 1"),
        (
            "file,kind\na.png,cat\na.png,dog\n",
            "row 3, column file: expected each picture once, found a.png in row 2 too",
        ),
        ("file,kind\n../a.png,cat\n", r"row 2, column file: expected a path in the folder, found '\.\./a.png'"),
        ("file,kind\n/a.png,cat\n", "expected a path in the folder, found '/a.png'"),
        ("file,kind,split\na.png,cat,none\n", "row 2, column split: expected one of train, .* found 'none'"),
        ("file,kind\na.png,\n", "row 2, column kind: expected a target, found an empty cell"),
        ("file,split\na.png,train\n", "expected a column of targets for classification, found none"),
    ],
)
def test_a_line_that_says_nothing_clear_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        _read(tmp_path, text)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_bytes(b"file,kind\n\xff,1\n")
    with pytest.raises(DataError, match=r"data.labels .*l.csv: expected a CSV file in UTF-8, found: .*decode"):
        read_labels(tmp_path / "l.csv", Classification(), names=SPLIT_FOLDERS)
    with pytest.raises(DataError, match="found: No such file"):
        read_labels(tmp_path / "none.csv", Classification(), names=SPLIT_FOLDERS)
