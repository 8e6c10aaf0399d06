"""Which files of a folder are pictures, to which split they belong, and which class they show."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.data.picture_files import find_pictures
from pipeline.errors import DataError
from pipeline.recipe.task import Classification
from tests.picture_folders import write


def _find(
    folder: Path, *files: str, labels: str | None = None, **texts: str
) -> dict[str, tuple[str | None, str | None]]:
    """Split and class of each picture."""
    write(folder, {**dict.fromkeys(files, b""), **{name: text.encode() for name, text in texts.items()}})
    pictures = find_pictures(folder, labels, Classification(), shown="data.folder p")
    classes = (
        [None] * len(pictures.files)
        if pictures.targets is None
        else [pictures.outputs[target] for target in pictures.targets]
    )
    return dict(zip(pictures.files, zip(pictures.splits, classes, strict=True), strict=True))


def test_sub_folders_are_classes(tmp_path: Path) -> None:
    assert _find(tmp_path, "dog/b.JPG", "cat/deep/a.png", "cat/.hidden.png", "cat/notes.txt", ".git/x.png") == {
        "cat/deep/a.png": (None, "cat"),
        "dog/b.JPG": (None, "dog"),
    }


def test_splits_may_be_folders_around_them(tmp_path: Path) -> None:
    assert _find(tmp_path, "train/dog/1.png", "train/cat/2.png", "Valid/cat/3.png", "test/dog/4.webp") == {
        "Valid/cat/3.png": ("validation", "cat"),
        "test/dog/4.webp": ("test", "dog"),
        "train/cat/2.png": ("train", "cat"),
        "train/dog/1.png": ("train", "dog"),
    }


def test_flat_pictures_have_no_classes(tmp_path: Path) -> None:
    assert _find(tmp_path, "a.png", "b.heic") == {"a.png": (None, None), "b.heic": (None, None)}
    assert _find(tmp_path / "split", "train/a.png", "val/b.png") == {
        "train/a.png": ("train", None),
        "val/b.png": ("validation", None),
    }


def test_labels_name_files_with_or_without_their_ending(tmp_path: Path) -> None:
    csv = "kind;file;split\ncat;a;train\ndog;sub\\b.png;val\ncat;c.raw;\n"
    write(tmp_path, {"c.raw": b""})
    assert _find(tmp_path, "a.jpg", "sub/b.png", labels="l.csv", **{"l.csv": csv}) == {
        "a.jpg": ("train", "cat"),
        "sub/b.png": ("validation", "dog"),
        "c.raw": (None, "cat"),
    }


def test_folders_say_the_split_where_labels_do_not(tmp_path: Path) -> None:
    csv = "file,kind\ntrain/a.png,cat\ntest/b.png,dog\n"
    assert _find(tmp_path, "train/a.png", "test/b.png", labels="l.csv", **{"l.csv": csv}) == {
        "train/a.png": ("train", "cat"),
        "test/b.png": ("test", "dog"),
    }


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("1.png,cat\n1,dog\n", "expected each picture once, found 1 twice: 1.png"),
        ("2,cat\n1,dog\n", "found 1 without a file: 2"),
        (".hidden/3.png,cat\n1,dog\n", "found 1 without a file: .hidden/3.png"),
    ],
)
def test_a_picture_that_is_named_twice_or_unclearly_is_refused(tmp_path: Path, lines: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        _find(tmp_path, "1.png", "2.png", "2.jpg", ".hidden/3.png", labels="l.csv", **{"l.csv": f"file,kind\n{lines}"})


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    write(tmp_path, dict.fromkeys(("cat/a.png", "dog/b.png", "dog/notes.txt"), b""))
    assert find_pictures(tmp_path, None, Classification(), shown="p").remarks == (
        "files that are no pictures are left out, 1 in all: dog/notes.txt",
    )
    write(tmp_path, {"l.csv": b"file,kind\ncat/a.png,cat\n"})
    assert find_pictures(tmp_path, "l.csv", Classification(), shown="p").remarks == (
        "pictures without a line in l.csv are left out, 1 in all: dog/b.png",
    )


def test_links_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", {"1.png": b""})
    write(tmp_path / "p", {"cat/2.png": b""})
    (tmp_path / "p" / "dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "round").symlink_to(tmp_path / "p")
    assert _find(tmp_path / "p") == {"cat/2.png": (None, "cat"), "dog/1.png": (None, "dog")}


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (["notes.txt"], "data.folder p: expected picture files, found none: notes.txt"),
        (["cat/a.png", "b.png"], "expected every picture in a sub-folder for its class, found 1 beside .*: b.png"),
        (["train/cat/a.png", "dog/b.png"], "nothing but splits beside train, found 1 pictures: dog/b.png"),
        (["val/cat/a.png", "test/cat/b.png"], "expected a folder train beside test, val, found none"),
        (["train/a.png", "val/b.png", "valid/c.png"], "one folder for the validation split, found val and valid"),
        (["a.png", "labels.csv"], 'found them beside labels.csv; .*set data.labels = "labels.csv"'),
    ],
)
def test_a_folder_that_may_mean_two_things_is_refused(tmp_path: Path, files: list[str], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        _find(tmp_path, *files)


def test_a_line_without_its_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"l.csv: expected paths of pictures, .* found 1 without a file: lost.png"):
        _find(tmp_path, "a.png", labels="l.csv", **{"l.csv": "file,kind\na.png,cat\nlost.png,dog\n"})


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data.folder .*none: expected a folder, found none; it is relative to"):
        find_pictures(tmp_path / "none", None, Classification(), shown="p")
