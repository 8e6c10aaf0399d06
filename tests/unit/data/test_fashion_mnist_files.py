"""The search for the files, and the reports of broken ones."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pipeline.data import fashion_mnist_files as files
from pipeline.errors import DataError

LABELS = "t10k-labels-idx1-ubyte.gz"


def test_the_cache_folder_moves_with_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIPELINE_DATA", str(tmp_path))
    assert files.cache_folder() == tmp_path / "fashion-mnist"
    monkeypatch.delenv("PIPELINE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / ".cache" / "pipeline" / "data" / "fashion-mnist"


def test_wrong_contents_are_refused_by_checksum(tmp_path: Path) -> None:
    path = tmp_path / LABELS
    path.write_bytes(gzip.compress(bytes(10_008)))
    with pytest.raises(DataError, match=r"expected contents with SHA-256 0402a96d.*found .*fetched again"):
        files.read_checked(path)


def test_contents_of_any_size_are_read_up_to_the_right_one_only(tmp_path: Path) -> None:
    path = tmp_path / LABELS
    path.write_bytes(gzip.compress(bytes(1_000_000)))
    with pytest.raises(DataError, match=r"\(10009 bytes, expected 10008\)"):
        files.read_checked(path)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", gzip.compress(bytes(range(256)))[:-9], b"not gzip at all"])
def test_truncated_and_foreign_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / LABELS
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{LABELS}: expected"):
        files.read_checked(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{LABELS}: expected a readable gzip file, found: No such file"):
        files.read_checked(tmp_path / LABELS)


def test_a_given_folder_is_the_only_one_looked_in(tmp_path: Path) -> None:
    (tmp_path / LABELS).write_bytes(b"")
    assert files.locate(tmp_path) is None
    with pytest.raises(DataError, match="expected the four files of Fashion-MNIST, found: no train-images-idx3-ubyte"):
        files.ensure(tmp_path)
