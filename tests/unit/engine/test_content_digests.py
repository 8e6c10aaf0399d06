"""Digests of many files: right after every change, and read once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from pipeline.engine import content_digests as module
from pipeline.engine.artifacts import digest_file
from pipeline.engine.content_digests import content_digests


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PIPELINE_DIGESTS", str(tmp_path / "digests"))
    (tmp_path / "files").mkdir()
    return tmp_path / "files"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read."""
    names: list[str] = []

    def record(path: Path) -> str:
        names.append(path.name)
        return digest_file(path)

    monkeypatch.setattr(module, "digest_file", record)
    return names


def _age(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let files count as written long ago."""
    monkeypatch.setattr(module, "_RACY_NS", -(10**12))


def test_a_file_is_read_once(place: Path, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    _age(monkeypatch)
    (place / "a b").write_bytes(b"1")
    expected = {"a b": hashlib.sha256(b"1").hexdigest()}
    assert content_digests(place, ["a b"]) == content_digests(place, ["a b"]) == (expected, {})
    assert read == ["a b"]


def test_a_file_of_the_same_size_and_time_is_read_again(
    place: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _age(monkeypatch)
    (place / "a").write_bytes(b"1")
    status = (place / "a").stat()
    content_digests(place, ["a"])
    (place / "a").write_bytes(b"2")
    os.utime(place / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert content_digests(place, ["a"])[0] == {"a": hashlib.sha256(b"2").hexdigest()}
    assert read == ["a", "a"]


def test_a_file_that_was_just_written_is_not_trusted(place: Path, read: list[str]) -> None:
    (place / "a").write_bytes(b"1")
    content_digests(place, ["a"])
    content_digests(place, ["a"])
    assert read == ["a", "a"]


def test_files_that_cannot_be_read_are_named(place: Path) -> None:
    (place / "folder").mkdir()
    digests, unreadable = content_digests(place, ["none", "folder"])
    assert digests == {}
    assert unreadable == {"none": "No such file or directory", "folder": "Is a directory"}


def test_a_damaged_list_and_a_place_that_cannot_be_written_do_no_harm(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _age(monkeypatch)
    (place / "a").write_bytes(b"1")
    expected = content_digests(place, ["a"])
    [kept] = (place.parent / "digests").iterdir()
    kept.write_text("1\nno digest")
    assert content_digests(place, ["a"]) == expected
    monkeypatch.setenv("PIPELINE_DIGESTS", str(place / "a" / "below-a-file"))
    assert content_digests(place, ["a"]) == expected
