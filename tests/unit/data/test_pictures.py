"""A folder of pictures as a data set."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline.data.dataset import Split, read_split, write_split
from pipeline.data.pictures import folder_digests
from pipeline.errors import DataError, UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import MultiLabel, Regression
from tests.picture_folders import load, picture, pixels, two_classes, write
from tests.reporters import Lines


def test_each_picture_is_there_once_as_it_is_served(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path))
    assert (data.name, data.classes) == ("pictures", ("cat", "dog"))
    served = {
        decode_image(path.read_bytes(), data.inputs[0]).tobytes(): path.parent.name
        for path in (tmp_path / "pictures").rglob("*.*")
    }
    splits = (data.train, data.validation, data.test)
    rows = [
        (row.tobytes(), label)
        for split in splits
        for row, label in zip(split.inputs["image"], split.labels if split.labels is not None else (), strict=True)
    ]
    assert {pixels: data.classes[label] for pixels, label in rows} == served
    assert len(rows) == len(served) == 40
    assert all(0 < np.mean(split.labels == 0) < 1 for split in splits), "no split is sorted into one class"


def test_splits_are_linked_to_their_place_and_read_again(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path))
    write_split(tmp_path / "train.safetensors", data.train)
    write_split(tmp_path / "again.safetensors", Split(inputs=data.train.inputs, labels=data.train.labels))
    assert (tmp_path / "train.safetensors").read_bytes() == (tmp_path / "again.safetensors").read_bytes()
    assert data.train.file is not None
    assert (tmp_path / "train.safetensors").samefile(data.train.file)
    assert read_split(tmp_path / "train.safetensors").digest() == data.train.digest()


def test_copies_never_sit_on_both_sides(tmp_path: Path) -> None:
    two_classes(tmp_path)
    for path in list((tmp_path / "pictures" / "cat").iterdir()):
        (path.parent / f"copy-{path.name}").write_bytes(path.read_bytes())
    data = load(tmp_path)
    held = [{row.tobytes() for row in split.inputs["image"]} for split in (data.train, data.validation, data.test)]
    assert not held[0] & held[1] | held[0] & held[2] | held[1] & held[2]


def test_given_splits_with_copies_are_named(tmp_path: Path) -> None:
    for index, split in enumerate(("train", "val", "test")):
        write(tmp_path / "pictures" / split, {"cat/a.png": picture(index), "dog/b.png": picture(10 + index)})
    write(tmp_path / "pictures", {"test/cat/c.png": picture(0)})
    said = Lines()
    data = load(tmp_path, reporter=said)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [2, 2, 3]
    assert any("1 pictures in all" in line and "test/cat/c.png (test)" in line for line in said.said)


def test_unreadable_files_end_the_build_or_are_left_out(tmp_path: Path) -> None:
    two_classes(tmp_path)
    write(tmp_path / "pictures", {"cat/broken.jpg": b"\xff\xd8\xffnothing", "dog/text.png": b"no picture"})
    with pytest.raises(
        DataError, match=r"found 2 that cannot: cat/broken\.jpg: JPEG file .*; dog/text\.png: .*not a p"
    ):
        load(tmp_path)
    said = Lines()
    data = load(tmp_path, skip_unreadable=True, reporter=said)
    assert len(data.train) + len(data.validation) + len(data.test) == 40
    assert not any("are decoded to" in line for line in said.said), "nothing is decoded again"
    assert sum("is left out" in line for line in said.said) == 2


def test_a_stored_size_needs_no_new_decoding_and_the_server_resizes(tmp_path: Path) -> None:
    two_classes(tmp_path)
    said = Lines()
    data = load(tmp_path, stored_size=[12, 12], reporter=said)
    assert data.train.inputs["image"].shape[1:] == (3, 6, 5)
    file = tmp_path / "pictures" / "cat" / "0.png"
    stream = io.BytesIO()
    Image.fromarray(pixels(0)).resize((12, 12), Image.Resampling.BILINEAR).save(stream, "PNG")
    expected = decode_image(stream.getvalue(), data.inputs[0])
    rows = [row for split in (data.train, data.validation, data.test) for row in split.inputs["image"]]
    assert any(np.array_equal(row, expected) for row in rows), file
    assert "pictures are resized twice, to 12 x 12 and 6 x 5, and the server resizes once: " in said.said[-1]
    again = Lines()
    assert load(tmp_path, stored_size=[12, 12], size=[4, 4], reporter=again).inputs[0].shape == (3, 4, 4)
    assert not any("are decoded to" in line for line in again.said)


def test_grey_pictures_and_listed_classes(tmp_path: Path) -> None:
    two_classes(tmp_path)
    data = load(tmp_path, mode="L", classes=["dog", "bird", "cat"])
    assert data.inputs[0].shape == (1, 6, 5)
    assert data.classes == ("dog", "bird", "cat")
    assert data.train.labels is not None
    assert set(data.train.labels.tolist()) == {0, 2}
    (tmp_path / "names.txt").write_text("dog\ncat\n\n")
    assert load(tmp_path, classes="names.txt").classes == ("dog", "cat")
    with pytest.raises(DataError, match=r"data\.classes: expected every class .* found 1 in the data alone: dog"):
        load(tmp_path, classes=["cat", "bird"])
    with pytest.raises(DataError, match=r"data\.classes: expected each name once, found cat twice"):
        load(tmp_path, classes=["cat", "dog", "cat"])
    with pytest.raises(DataError, match=r"data\.classes .*none: expected a text file .* No such file"):
        load(tmp_path, classes="none")


def test_pictures_without_labels(tmp_path: Path) -> None:
    write(tmp_path / "pictures", {f"{index}.png": picture(index) for index in range(12)})
    with pytest.raises(DataError, match=r"data\.classes: expected the names of the network's outputs, which nothing"):
        load(tmp_path)
    data = load(tmp_path, classes=["a", "b"])
    assert data.train.labels is None
    assert sum(map(len, (data.train, data.validation, data.test))) == 12


def test_labels_of_other_tasks(tmp_path: Path) -> None:
    write(tmp_path / "pictures", {f"{index}.png": picture(index) for index in range(12)})
    rows = [f"{index}.png,{'red;round' if index % 2 else 'red'},{index / 2},{index % 3}" for index in range(12)]
    write(tmp_path / "pictures", {"l.csv": "\n".join(["file,tags,weight,age", *rows]).encode()})
    tagged = load(tmp_path, labels="l.csv", targets=["tags"], task=MultiLabel())
    assert (tagged.task, tagged.classes) == ("multi-label", ("red", "round"))
    assert tagged.train.labels is not None
    assert tagged.train.labels.dtype == np.uint8
    numbers = load(tmp_path, labels="l.csv", targets=["weight", "age"], task=Regression(tolerance=(1,)))
    assert (numbers.task, numbers.classes) == ("regression", ("weight", "age"))
    assert numbers.train.labels is not None
    assert numbers.train.labels.shape == (len(numbers.train), 2)
    two_classes(tmp_path / "folders")
    with pytest.raises(DataError, match=r"expected a file of labels for regression, found sub-folders, which name one"):
        load(tmp_path / "folders", task=Regression(tolerance=(1,)))


def test_a_published_network_says_how_pictures_are_seen(tmp_path: Path) -> None:
    data = load(two_classes(tmp_path, count=4), size=None, preset="torchvision:MobileNet_V2_Weights.IMAGENET1K_V1")
    assert data.inputs[0].shape == (3, 224, 224)
    assert data.inputs[0].decoding == ImageDecoding(mode="RGB", resize="bilinear", fit="crop", resize_to=(256, 256))
    assert data.classes == ("cat", "dog")


def test_a_stored_size_keeps_the_part_that_is_seen(tmp_path: Path) -> None:
    two_classes(tmp_path, count=4)
    data = load(tmp_path, size=[4, 4], fit="crop", resize_to=[6, 6], stored_size=[8, 8])
    spec = InputSpec(
        name="image",
        dtype="uint8",
        shape=(3, 8, 8),
        low=0,
        high=255,
        decoding=ImageDecoding(mode="RGB", fit="crop", resize_to=(12, 12)),
    )
    stored = decode_image((tmp_path / "pictures" / "cat" / "0.png").read_bytes(), spec)
    resized = Image.fromarray(stored.transpose(1, 2, 0)).resize((4, 4), Image.Resampling.BILINEAR)
    rows = [row for split in (data.train, data.validation, data.test) for row in split.inputs["image"]]
    assert any(np.array_equal(row.transpose(1, 2, 0), np.asarray(resized)) for row in rows)


def test_the_size_must_be_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.size: expected height and width .*, for example size = \[224, 224\]"):
        load(two_classes(tmp_path), size=None)


def test_what_is_watched_is_the_content(tmp_path: Path) -> None:
    two_classes(tmp_path, count=2)
    data = Data(folder="pictures", classes="names.txt")
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    before = folder_digests(data, tmp_path)
    assert set(before) == {"data.folder pictures", "data.classes names.txt"}
    file = tmp_path / "pictures" / "cat" / "0.png"
    file.touch()
    assert folder_digests(data, tmp_path) == before
    file.write_bytes(picture(77))
    changed = folder_digests(data, tmp_path)
    assert changed["data.folder pictures"] != before["data.folder pictures"]
    write(tmp_path / "pictures", {"l.csv": b"file,kind\ncat/0.png,a\n", "notes.txt": b""})
    labelled = folder_digests(Data(folder="pictures", labels="l.csv"), tmp_path)
    assert set(labelled) == {"data.folder pictures", "data.labels l.csv"}
