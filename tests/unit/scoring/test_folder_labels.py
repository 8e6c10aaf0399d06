"""What a file of labels beside pictures says of them, where they are scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, MultiLabel, TaskSettings
from pipeline.scoring.folder import FolderSource, open_folder
from pipeline.scoring.folder_labels import LABELS_FILE, with_labels
from pipeline.serving.encoding import encode_png

GREY = InputSpec(name="image", dtype="uint8", shape=(1, 2, 2), low=0, high=255, decoding=ImageDecoding(mode="L"))
PICTURE = encode_png(np.zeros((1, 2, 2), np.uint8))
NAMES = ("c.png", "a.png", "b.png", "d.png")


def read(folder: Path, labels: str, *, task: TaskSettings | None = None, columns: tuple[str, ...] = ()) -> FolderSource:
    for name in NAMES:
        (folder / name).write_bytes(PICTURE)
    (folder / LABELS_FILE).write_text(labels)
    return with_labels(open_folder(folder, [GREY], labels=LABELS_FILE), task or Classification(), columns)


def test_targets_stand_beside_their_pictures_whatever_the_order_of_the_lines(tmp_path: Path) -> None:
    source = read(tmp_path, "file,kind\nc,dog\na.png,cat\nb.png,dog\nd.png,cat\n")
    assert source.targets is not None
    assert source.names == ("a.png", "b.png", "c.png", "d.png")
    assert source.targets.values.tolist() == [0, 1, 1, 0]
    assert (source.targets.outputs, source.targets.columns) == (("cat", "dog"), ("kind",))
    assert source.notes == ()


def test_pictures_without_a_line_and_those_of_training_are_left_out(tmp_path: Path) -> None:
    source = read(tmp_path, "file,kind,split\nc.png,dog,val\na.png,cat,train\nb.png,dog,\n")
    assert source.targets is not None
    assert source.names == ("c.png",)
    assert source.targets.values.tolist() == [1]
    assert source.notes == (
        f"{tmp_path}: pictures without a line in labels.csv are left out, 1 in all: d.png",
        f"{tmp_path}: left out 2 pictures of training, as labels.csv says",
    )
    assert read(tmp_path, "file,kind,split\nc.png,dog,train\na.png,cat,train\n").names == ("a.png", "c.png")


def test_folders_may_say_the_split(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.png").write_bytes(PICTURE)
    (tmp_path / LABELS_FILE).write_text("file,kind\ntrain/a.png,cat\ntest/a.png,dog\n")
    source = with_labels(open_folder(tmp_path, [GREY], labels=LABELS_FILE), Classification(), ())
    assert source.names == ("test/a.png",)


def test_columns_of_other_things_are_left_out_where_the_targets_are_named(tmp_path: Path) -> None:
    labels = "file,tags,author\na.png,red;round,x\nb.png,,y\nc.png,round,x\nd.png,red,z\n"
    source = read(tmp_path, labels, task=MultiLabel(), columns=("tags",))
    assert source.targets is not None
    assert source.targets.outputs == ("red", "round")
    assert source.targets.values.tolist() == [[1, 1], [0, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("labels", "columns", "message"),
    [
        ("file,kind\ngone.png,cat\n", (), r"labels.csv: expected paths of pictures, .* 1 without a file: gone.png"),
        ("file,kind\na.png,\n", (), r"labels.csv: row 2, column kind: expected a target, found an empty cell"),
        ("file,kind\na.png,cat\n", ("sort",), r"^--target sort: expected a column of .*labels.csv, found file, kind"),
        ("file,kind\n", (), r"^/.*labels.csv: expected a header and a line for each picture, found 1 lines"),
        ("file,kind,split\na.png,cat,some\n", (), r"labels.csv: row 2, column split: expected one of train, training"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, labels: str, columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, labels, columns=columns)
