"""Decoded pictures: as the server decodes them, once, and again only where a killed process left no whole row."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline._handlers.decode import ImageDecoding, InputSpec, decode_image
from pipeline.data import picture_store
from pipeline.data.decode_pictures import DecodingTask, Row, decode_rows
from pipeline.data.picture_store import Store, require_room, store_pictures
from pipeline.engine.array_files import create_arrays, map_to_fill
from pipeline.errors import DataError, FileError
from tests.picture_folders import picture, write
from tests.reporters import Lines

SPEC = InputSpec(name="image", dtype="uint8", shape=(3, 6, 5), low=0, high=255, decoding=ImageDecoding(mode="RGB"))


def _contents(folder: Path, seeds: range) -> dict[str, Path]:
    write(folder, {f"{seed}.png": picture(seed) for seed in seeds})
    paths = [folder / f"{seed}.png" for seed in seeds]
    return {hashlib.sha256(path.read_bytes()).hexdigest(): path for path in paths}


def _store(
    contents: dict[str, Path], cache: Path, said: Lines | None = None, *, workers: int = 1, spec: InputSpec = SPEC
) -> Store:
    return store_pictures(contents, spec, cache=cache, workers=workers, beside=0, reporter=said or Lines())


def _require_served(store: Store, contents: dict[str, Path], spec: InputSpec = SPEC) -> None:
    for digest, path in contents.items():
        assert np.array_equal(store.pictures[store.rows[digest]], decode_image(path.read_bytes(), spec))


def test_a_stored_picture_is_the_served_one(tmp_path: Path) -> None:
    contents = _contents(tmp_path, range(5))
    store = _store(contents, tmp_path / "cache")
    _require_served(store, contents)
    assert not store.pictures.flags.writeable


def test_several_processes_decode_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_store, "_FEW", 3)
    contents = _contents(tmp_path, range(6))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    contents["f" * 64] = tmp_path / "broken.png"
    with pytest.raises(DataError, match=r"broken\.png: expected a file that stays as it is, found file: its content"):
        _store(contents, tmp_path / "cache", workers=2)
    del contents["f" * 64]
    contents[hashlib.sha256((tmp_path / "broken.png").read_bytes()).hexdigest()] = tmp_path / "broken.png"
    store = _store(contents, tmp_path / "cache", workers=2)
    assert len(store.unreadable) == 1
    assert next(iter(store.unreadable.values())).startswith("PNG file cannot be decoded")
    _require_served(store, {digest: path for digest, path in contents.items() if digest not in store.unreadable})


def test_new_pictures_alone_are_decoded_and_former_stores_go(tmp_path: Path) -> None:
    said, cache = Lines(), tmp_path / "cache"
    _store(_contents(tmp_path, range(4)), cache, said)
    contents = _contents(tmp_path, range(2, 8))
    _require_served(_store(contents, cache, said), contents)
    _store(contents, cache, said)
    assert said.said == [
        "data: 4 pictures are decoded to 6 x 5",
        "data: 4 pictures are decoded to 6 x 5, 2 are decoded already",
    ]
    assert len(list(cache.glob("*.safetensors"))) == 1
    grey = InputSpec(name="image", dtype="uint8", shape=(1, 6, 5), low=0, high=255, decoding=ImageDecoding(mode="L"))
    _require_served(_store(contents, cache, said, spec=grey), contents, grey)
    assert len(said.said) == 3
    assert len(list(cache.glob("*.safetensors"))) == 1


def test_a_killed_process_goes_on_where_it_was(tmp_path: Path) -> None:
    contents = _contents(tmp_path, range(6))
    cache = tmp_path / "cache"
    _store(contents, cache)
    [file] = cache.glob("*.safetensors")
    [journal] = cache.glob("*.journal0")
    lines = journal.read_text().splitlines(keepends=True)
    map_to_fill(file)["pictures"][3:] = 0  # the last rows were not written: one of them is noted, one is half noted
    journal.write_text("".join(lines[:4]) + lines[4][:20])
    said = Lines()
    _require_served(_store(contents, cache, said), contents)
    assert said.said == ["data: 3 pictures are decoded to 6 x 5, 3 are decoded already"]


def test_a_row_is_noted_as_soon_as_it_is_written(tmp_path: Path) -> None:
    contents = _contents(tmp_path, range(3))
    create_arrays(tmp_path / "store", {"pictures": (np.dtype(np.uint8), (3, *SPEC.shape))})
    files = tuple((index, digest, str(path)) for index, (digest, path) in enumerate(contents.items()))
    task = DecodingTask(store=tmp_path / "store", journal=tmp_path / "journal", spec=SPEC, files=files)
    rows = decode_rows(DecodingTask.from_json(task.to_json()))
    first = next(rows)
    assert Row.from_line((tmp_path / "journal").read_text()) == first
    assert len(list(rows)) == 2


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none: expected 1,000,067 MB of free space for pictures, found .* make room"):
        require_room(tmp_path / "none", 10**12, what="pictures")
    assert not (tmp_path / "none").exists()
    with pytest.raises(
        FileError, match=r"for 1 pictures decoded to 6 x 5, and their splits, found .* choose a --run-dir"
    ):
        store_pictures(
            _contents(tmp_path, range(1)), SPEC, cache=tmp_path / "c", workers=1, beside=10**15, reporter=Lines()
        )
    assert not (tmp_path / "c").exists()
    require_room(tmp_path, 10, what="pictures")
