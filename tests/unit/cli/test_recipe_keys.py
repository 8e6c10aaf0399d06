"""What a person sees of the keys of a recipe."""

from __future__ import annotations

from pipeline.recipe.keys import keys_page
from tests.command_line import run_here


def said(*arguments: str) -> str:
    ended = run_here("recipe", *arguments)
    assert ended.returncode == 0
    return ended.stdout


def test_help_lists_every_key() -> None:
    out = said("--help")
    assert "Usage: pipeline recipe" in out
    assert "  train.epochs = 8  (whole number ≥ 0, epochs)\n      passes over the training data;" in out
    assert "  measure.block_ms = 60.0  (number ≥ 5, milliseconds)\n" in out
    assert out.endswith(said())


def test_a_section_has_what_is_inside_it() -> None:
    out = said("candidates")
    assert "candidates.threads = 1" in out
    assert "candidates.variants[].passes[].keep" in out
    assert "train.epochs" not in out
    assert "candidates.threads" not in said("candidates.variants")


def test_the_page_is_printed() -> None:
    assert said("--markdown") == keys_page()
