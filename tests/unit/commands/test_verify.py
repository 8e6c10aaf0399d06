"""An option for the other kind of target is refused before anything is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import pipeline
from pipeline.checks.locate.layers import LayerFinding
from pipeline.commands import verify_run
from pipeline.commands.verify_run import CandidateVerification, RunVerification


@pytest.mark.parametrize(
    "options",
    [
        {"digest": "0" * 64},
        {"public_key": "signer.pem"},
        {"require_signature": True},
        {"data": "data"},
        {"url": "http://127.0.0.1:8080"},
        {"float_model": "model.onnx"},
        {"allowed_operators": ["aten::sort"]},
    ],
)
def test_a_run_directory_takes_no_option_for_archives(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(pipeline.UsageError, match=r"expected an archive with --digest, .* found a run directory"):
        pipeline.verify(tmp_path, **options)


def test_an_archive_has_no_layers_to_rank(tmp_path: Path) -> None:
    with pytest.raises(pipeline.UsageError, match=r"expected a run directory with --rank, found an archive"):
        pipeline.verify(tmp_path / "a.mar", rank=True)


def test_what_is_neither_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(pipeline.FileError, match=r"a\.mar"):
        pipeline.verify(str(tmp_path / "a.mar"))


def test_a_run_that_fails_is_raised_unless_only_the_result_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = CandidateVerification(
        candidate="a", file=tmp_path / "model.pt", altered=True, parity=None, finding=LayerFinding()
    )
    verification = RunVerification(run_dir=tmp_path, recipe="a", candidates=(altered,), unproven=(), gaps=())
    monkeypatch.setattr(verify_run, "verify_run", lambda *_, **__: verification)
    assert pipeline.verify(tmp_path, strict=False) is verification
    with pytest.raises(pipeline.FileError, match=r"model\.pt: expected the file that the build recorded"):
        pipeline.verify(tmp_path)
