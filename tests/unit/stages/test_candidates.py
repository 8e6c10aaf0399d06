"""What the `candidates` stage sees of a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.recipe.loading import load_recipe
from pipeline.stages.candidates import _model_key, settings


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
    [
        "train.shift=1",
        "train.class_weights=balanced",
        "train.sampling=balanced",
        "model.arguments.dropout=0.5",
        "export.opset=19",
        "measure.rounds=7",
        "search.effort=off",
    ],
)
def test_what_changes_a_candidate_or_its_figures_counts(override: str) -> None:
    assert key(override) != key()


@pytest.mark.parametrize("override", ["train.loss=bce-with-logits", "train.class_weights=balanced"])
def test_tuned_weights_are_those_of_a_loss(override: str, tmp_path: Path) -> None:
    (tmp_path / "data.json").write_text("{}")
    keys = [
        _model_key(settings(load_recipe("fashion-cnn", overrides)), tmp_path / "data.json")
        for overrides in ((), (override,))
    ]
    assert keys[0] != keys[1]


def test_names_that_a_recipe_relies_on_are_seen_and_do_not_count() -> None:
    named = ('candidates.formats=["torchscript","onnx"]', "select.candidate=float.onnx.fp32")
    seen = settings(load_recipe("fashion-cnn", named))
    assert (seen.named_formats, seen.named_candidate) == (("torchscript", "onnx"), "float.onnx.fp32")
    assert {"named_formats", "named_candidate", "factories", "folder"}.isdisjoint(seen.model_dump())
