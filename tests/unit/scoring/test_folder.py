"""Which files of a folder are scored, and in which order."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.errors import DataError, UsageError
from pipeline.scoring.folder import open_folder
from pipeline.serving.encoding import encode_png

GREY = InputSpec(name="image", dtype="uint8", shape=(1, 2, 2), low=0, high=255, decoding=ImageDecoding(mode="L"))
TABLE = InputSpec(name="features", dtype="float32", shape=(4,), low=-2.0, high=2.0)
PICTURE = encode_png(np.zeros((1, 2, 2), np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for name in ("b.png", "a/z.png", "a.png", "a/nameless", ".hidden.png", ".cache/c.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(PICTURE)
    (root / "broken.jpg").write_bytes(b"")
    (root / "labels.csv").write_text("file\n")
    return root


def test_pictures_are_told_by_content_or_name_and_sorted(folder: Path) -> None:
    source = open_folder(folder, [GREY])
    assert source.names == ("a.png", "a/nameless", "a/z.png", "b.png", "broken.jpg")
    assert (source.total, source.key) == (5, "file")
    assert source.notes == (f"{folder}: left out 1 file that is no picture: labels.csv",)


def test_requests_begin_where_they_are_told_to(folder: Path) -> None:
    requests = list(open_folder(folder, [GREY]).requests(size=2, start=2))
    assert [request.document["files"] for request in requests] == [("a/z.png", "b.png"), ("broken.jpg",)]
    assert [request.done for request in requests] == [4, 5]
    assert str(requests[0]) == "a/z.png to b.png"


def test_a_changed_picture_makes_another_identity(folder: Path) -> None:
    before = open_folder(folder, [GREY]).identity
    assert open_folder(folder, [GREY]).identity == before
    os.utime(folder / "a.png", ns=(0, 1))
    assert open_folder(folder, [GREY]).identity != before


def test_links_are_followed_and_no_folder_is_entered_twice(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "linked.png").write_bytes(PICTURE)
    (folder / "c").symlink_to(other)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.png").symlink_to(tmp_path / "gone.png")
    names = open_folder(folder, [GREY]).names
    assert "c/linked.png" in names
    assert not any(name.startswith("loop") or "nowhere" in name for name in names)


@pytest.mark.parametrize(
    ("files", "found"),
    [((), "no file at all"), (("a.txt", "b.txt"), "2 files that are no picture: a.txt, b.txt")],
)
def test_a_folder_without_pictures_says_what_is_there(tmp_path: Path, files: tuple[str, ...], found: str) -> None:
    for name in files:
        (tmp_path / name).write_text("text")
    with pytest.raises(DataError, match=rf"expected at least one picture \(a PNG, .*\), found {found}$"):
        open_folder(tmp_path, [GREY])


def test_a_model_without_pictures_takes_no_folder(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a table \(.csv\) or arrays .*, found a folder"):
        open_folder(folder, [TABLE])
