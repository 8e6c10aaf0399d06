"""Files that an interrupted run keeps: every flipped bit is noticed and reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.kept import digest_beside, is_kept, keep_bytes, keep_file, read_kept, write_kept
from tests.damage import flip
from tests.reporters import Lines

CONTENT = bytes(range(256)) * 4


def test_what_is_kept_is_given_back(tmp_path: Path) -> None:
    said = Lines()
    assert read_kept(tmp_path / "a", said.log) is None
    for content in (b"", CONTENT, b"once more"):
        write_kept(tmp_path / "a", content)
        assert read_kept(tmp_path / "a", said.log) == content
    assert not is_kept(tmp_path / "b", said.log)
    (tmp_path / "made").write_bytes(CONTENT)
    keep_file(tmp_path / "made", tmp_path / "b")
    keep_bytes(tmp_path / "c", CONTENT)
    for name in ("b", "c"):
        assert is_kept(tmp_path / name, said.log)
        assert (tmp_path / name).read_bytes() == CONTENT
    assert said.said == []


def test_every_flipped_bit_is_seen_and_said_once(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    file, beside = tmp_path / "kept", tmp_path / "beside"
    for _ in range(30):
        said = Lines()
        write_kept(file, CONTENT)
        flip(file, int(draw.integers(8 * file.stat().st_size)))
        assert [read_kept(file, said.log) for _ in range(2)] == [None, None]
        keep_bytes(beside, CONTENT)
        flip(
            digest_beside(beside) if draw.random() < 0.2 else beside,
            int(draw.integers(8 * 64)),
        )
        assert [is_kept(beside, said.log) for _ in range(2)] == [False, False]
        assert said.said == [
            f"{path}: expected what an earlier run kept, found other bytes; it is made again" for path in (file, beside)
        ]


@pytest.mark.parametrize("length", [0, 5, 72, 100])
def test_what_is_cut_off_is_damaged(tmp_path: Path, length: int) -> None:
    said = Lines()
    write_kept(tmp_path / "a", CONTENT)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:length])
    assert read_kept(tmp_path / "a", said.log) is None
    assert len(said.said) == 1


def test_a_digest_without_its_file_or_a_file_without_its_digest_is_made_again(tmp_path: Path) -> None:
    said = Lines()
    keep_bytes(tmp_path / "a", CONTENT)
    (tmp_path / "a").unlink()
    assert not is_kept(tmp_path / "a", said.log)
    assert said.said == []
    (tmp_path / "b").write_bytes(CONTENT)
    assert not is_kept(tmp_path / "b", said.log)
    assert len(said.said) == 1
