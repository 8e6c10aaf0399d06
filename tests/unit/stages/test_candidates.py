"""What the `candidates` stage sees of a recipe."""

from __future__ import annotations

import pytest

from pipeline.recipe.loading import load_recipe
from pipeline.stages.candidates import settings


def key(*overrides: str) -> dict[str, object]:
    """The settings that count for whether the stage is up to date, of a recipe that asks for a search."""
    return settings(load_recipe("fashion-cnn", ["search.effort=quick", *overrides])).model_dump()


@pytest.mark.parametrize(
    "override",
    ["train.epochs=3", "select.candidate=float.onnx.fp32", "package.version=2.0", "smoke.pictures=5"],
)
def test_what_changes_no_candidate_makes_none_again(override: str) -> None:
    assert key(override) == key()


@pytest.mark.parametrize(
    "override",
    ["train.shift=1", "model.arguments.dropout=0.5", "export.opset=19", "measure.rounds=7", "search.effort=off"],
)
def test_what_changes_a_candidate_or_its_figures_counts(override: str) -> None:
    assert key(override) != key()


def test_names_that_a_recipe_relies_on_are_seen_and_do_not_count() -> None:
    named = ('candidates.formats=["torchscript","onnx"]', "select.candidate=float.onnx.fp32")
    seen = settings(load_recipe("fashion-cnn", named))
    assert (seen.named_formats, seen.named_candidate) == (("torchscript", "onnx"), "float.onnx.fp32")
    assert {"named_formats", "named_candidate", "factories", "folder"}.isdisjoint(seen.model_dump())
