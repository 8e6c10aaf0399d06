"""Which archive is served where none is named."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipeline


def test_a_model_store_without_an_archive_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(pipeline.FileError) as refusal:
        pipeline.serve(model_store=tmp_path)
    assert str(refusal.value) == f"{tmp_path}: expected an archive (.mar), found none; run pipeline build, or name one"


def test_of_several_archives_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("a.mar", "b.mar"):
        (tmp_path / name).touch()
    with pytest.raises(pipeline.UsageError) as refusal:
        pipeline.serve(model_store=str(tmp_path))
    names = f"{tmp_path / 'a.mar'}, {tmp_path / 'b.mar'}"
    assert str(refusal.value) == f"{tmp_path}: expected one archive to serve, found 2: {names}; name one"


def test_a_key_is_needed_where_a_signature_is_required(tmp_path: Path) -> None:
    with pytest.raises(pipeline.UsageError, match=r"--require-signature: expected the signer's public key too"):
        pipeline.serve(tmp_path / "a.mar", require_signature=True)
