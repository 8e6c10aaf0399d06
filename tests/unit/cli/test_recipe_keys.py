"""What a person sees of the keys of a recipe."""

from __future__ import annotations

import sys

import pytest

from pipeline import cli
from pipeline.recipe.keys import keys_page


def said(arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")  # main sets it for this process otherwise
    monkeypatch.setattr(sys, "argv", ["pipeline", "recipe", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_help_lists_every_key(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(["--help"], monkeypatch, capsys)
    assert "Usage: pipeline recipe" in out
    assert "  train.epochs = 8  (whole number ≥ 0, epochs)\n      passes over the training data;" in out
    assert "  measure.block_ms = 60.0  (number ≥ 5, milliseconds)\n" in out
    assert out.endswith(said([], monkeypatch, capsys))


def test_a_section_has_what_is_inside_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(["candidates"], monkeypatch, capsys)
    assert "candidates.threads = 1" in out
    assert "candidates.variants[].passes[].keep" in out
    assert "train.epochs" not in out
    assert "candidates.threads" not in said(["candidates.variants"], monkeypatch, capsys)


def test_the_page_is_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(["--markdown"], monkeypatch, capsys) == keys_page()
