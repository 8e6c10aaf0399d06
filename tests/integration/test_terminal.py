"""What somebody sees in a real terminal: a build's end, its progress, an interruption."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.render.summary import COLUMNS, LINES
from tests.example_build import Built
from tests.terminals import CHECKOUT, run_in_terminal

COLOUR = "\x1b[1;32m"  # bold and green, as the winner is


def report(built: Built, *options: str) -> list[str]:
    return ["report", str(built.run_dir), "--model-store", str(built.model_store), *options]


@pytest.mark.parametrize(
    ("columns", "environment", "coloured", "most"),
    [
        (COLUMNS, {}, True, LINES),
        (COLUMNS, {"NO_COLOR": "1"}, False, LINES),
        (COLUMNS, {"TERM": "dumb"}, False, LINES),
        (60, {}, True, 2 * LINES),
    ],
)
def test_the_report_on_a_terminal_is_short(
    built: Built, columns: int, environment: dict[str, str], coloured: bool, most: int
) -> None:
    seen = run_in_terminal(report(built), cwd=built.run_dir.parent, columns=columns, environment=environment)
    lines = seen.screen.text.splitlines()
    assert seen.code == 0, seen.screen.text
    assert lines[0].startswith("selected  ")
    assert built.result.selected in lines[0]
    assert len(lines) <= most
    assert max(map(len, lines)) <= columns
    assert (COLOUR in seen.raw) is coloured
    if environment.get("TERM") == "dumb":
        assert "\x1b" not in seen.raw


def test_the_tables_are_there_when_they_are_asked_for_and_in_a_pipe(built: Built) -> None:
    seen = run_in_terminal(report(built, "--tables"), cwd=built.run_dir.parent, columns=140)
    command = [sys.executable, "-m", "pipeline", *report(built)]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    piped = subprocess.run(
        command, cwd=built.run_dir.parent, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    for text in (seen.screen.text, piped.stdout):
        assert "parity (limit)" in text
        assert "x eager at 1" in text
        assert f"Selected {built.result.selected}" in text
    assert "\x1b" not in piped.stdout


def build(built: Built, folder: Path, *overrides: str) -> list[str]:
    """Arguments of a build in a copy of the folder of a finished one, which is made here."""
    shutil.copytree(built.run_dir.parent, folder)
    given = [part for override in (*built.overrides, *overrides) for part in ("--set", override)]
    return ["build", "example/recipe.toml", "--run-dir", "run", "--model-store", "store", *given]


@pytest.mark.slow
def test_a_build_that_is_up_to_date_shows_only_its_end(built: Built, tmp_path: Path) -> None:
    arguments = build(built, tmp_path / "copy")
    seen = run_in_terminal(arguments, cwd=tmp_path / "copy")
    assert seen.code == 0, seen.screen.text
    lines = seen.screen.text.splitlines()
    assert lines[0].startswith("selected  ")
    assert "ran      nothing: everything is up to date" in lines
    assert len(lines) <= LINES
    assert seen.screen.cursor_shown


def test_stages_are_shown_in_place_and_an_interrupted_build_leaves_a_clean_terminal(
    built: Built, tmp_path: Path
) -> None:
    arguments = build(built, tmp_path / "copy", "train.epochs=200")
    seen = run_in_terminal(arguments, cwd=tmp_path / "copy", interrupt_at=lambda raw: "epoch 4/200" in raw)
    assert seen.code == 130, seen.screen.text
    for text in ("data 0:00:0", "best so far", " left", "\x1b[2K"):
        assert text in seen.raw
    assert seen.screen.cursor_shown
    text = seen.screen.text
    assert text.splitlines()[-1] == "error: interrupted; it goes on from here when it is run again"
    assert "best so far" not in text
    assert "data 0:00" not in text


@pytest.mark.slow
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(built: Built, tmp_path: Path) -> None:
    arguments = build(built, tmp_path / "copy", "train.epochs=200")
    dumb = {"TERM": "dumb"}
    seen = run_in_terminal(
        arguments, cwd=tmp_path / "copy", environment=dumb, interrupt_at=lambda raw: "epoch 5/200" in raw
    )
    assert seen.code == 130
    assert "\x1b" not in seen.raw
    assert "\ntrain: epoch 4/200, loss " in seen.screen.text


def test_an_error_in_the_middle_is_one_line(built: Built, tmp_path: Path) -> None:
    folder = shutil.copytree(built.recipe.parent, tmp_path / "example")
    (folder / "my_nets.py").write_text("def build(channels=1):\n    raise ValueError('no net today')\n")
    seen = run_in_terminal(["build", "recipe.toml"], cwd=folder)
    assert seen.code == 2, seen.screen.text
    data, error = seen.screen.text.split("\n", maxsplit=1)
    assert data == "data: digits, 899 train, 539 validation, 359 test examples"
    assert error.startswith("error: ")
    assert "no net today" in error
    assert seen.screen.cursor_shown
