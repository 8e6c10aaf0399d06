"""Files that an interrupted run keeps: every flipped bit is noticed and reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.kept import digest_beside, is_kept, keep_file, read_kept, write_kept
from tests.damage import flip
from tests.reporters import Lines

CONTENT = bytes(range(256)) * 4


def keep(path: Path) -> None:
    made = path.with_name("made")
    made.write_bytes(CONTENT)
    keep_file(made, path)


def test_what_is_kept_is_given_back(tmp_path: Path) -> None:
    said = Lines()
    assert read_kept(tmp_path / "a", said.log) is None
    for content in (b"", CONTENT, b"once more"):
        write_kept(tmp_path / "a", content)
        assert read_kept(tmp_path / "a", said.log) == content
    assert not is_kept(tmp_path / "b", said.log)
    keep(tmp_path / "b")
    assert is_kept(tmp_path / "b", said.log)
    assert (tmp_path / "b").read_bytes() == CONTENT
    assert said.said == []


def test_every_flipped_bit_is_seen_and_said_once(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    file, beside = tmp_path / "kept", tmp_path / "beside"
    for _ in range(30):
        said = Lines()
        write_kept(file, CONTENT)
        flip(file, int(draw.integers(8 * file.stat().st_size)))
        assert [read_kept(file, said.log) for _ in range(2)] == [None, None]
        keep(beside)
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
    keep(tmp_path / "a")
    (tmp_path / "a").unlink()
    assert not is_kept(tmp_path / "a", said.log)
    assert said.said == []
    (tmp_path / "b").write_bytes(CONTENT)
    assert not is_kept(tmp_path / "b", said.log)
    assert len(said.said) == 1
