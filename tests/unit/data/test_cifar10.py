"""CIFAR-10 is read from the publisher's binary archive, and what is missing is said with where it belongs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipeline.data import cifar10, cifar10_files
from pipeline.errors import DataError
from tests.cifar_files import COUNT, put_archive, records, write_archive


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive of the publisher's form, in the user's folder."""
    return put_archive(tmp_path, monkeypatch)


def test_pictures_and_classes_are_the_records(archive: Path) -> None:
    assert cifar10_files.locate() == archive.parent
    data = cifar10.load(validation_size=30, seed=0)
    assert [len(data.train), len(data.validation), len(data.test)] == [70, 30, COUNT]
    assert data.test.labels is not None
    assert data.test.labels.tolist() == [index % 10 for index in range(COUNT)]
    stored = np.frombuffer(records(5), dtype=np.uint8).reshape(COUNT, 3073)
    picture = data.test.inputs["image"][3]
    assert picture.shape == (3, 32, 32)
    assert picture[2, 1, 4] == stored[3, 1 + 2 * 1024 + 32 + 4]
    whole = cifar10.load(validation_size=1, seed=0, folder=archive.parent)
    assert whole.sources == {cifar10_files.FILE: hashlib.sha256(archive.read_bytes()).hexdigest()}
    with pytest.raises(DataError, match=r"data.validation_size: expected 1 to 99, found 100"):
        cifar10.load(validation_size=100, seed=0)


def test_a_member_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = write_archive(tmp_path, last=records(0)[:-1])
    with pytest.raises(DataError, match=r"expected cifar-10-batches-bin/test_batch.bin of records of 3073 bytes"):
        cifar10.read_batches(path, cifar10.TEST)
    path.write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"expected the archive of CIFAR-10, found: not a gzip file"):
        cifar10.read_batches(path, cifar10.TEST)


def test_where_nothing_is_there_all_that_was_tried_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    told: list[str] = []
    with pytest.raises(DataError) as caught:
        cifar10_files.ensure(log=told.append)
    text = str(caught.value)
    assert f"tried {tmp_path}/cifar-10/cifar-10-binary.tar.gz (no such file); https://" in text
    assert f"copy it to {tmp_path}/cifar-10, or set PIPELINE_DATA to a folder that holds it in cifar-10/" in text
    assert "\n" not in text
    assert told == [f"CIFAR-10: fetching {cifar10_files.URL}"]
    assert cifar10_files.locate() is None
    assert not list((tmp_path / "cifar-10").iterdir())


def test_another_file_of_that_name_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / cifar10_files.FILE).write_bytes(b"else")
    with pytest.raises(DataError, match=r"expected the archive of CIFAR-10, found: MD5 .* expected c32a1d4ab5d0"):
        cifar10_files.ensure(tmp_path)
