"""All of the user's own functions stand in one list."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.factories import named_digests, user_factories
from pipeline.recipe.recipe import Recipe


def test_every_function_that_a_recipe_names(tmp_path: Path) -> None:
    recipe = Recipe.model_validate(
        {
            "name": "tiny",
            "model": {"factory": "nets:build"},
            "data": {"factory": "data:load"},
            "train": {"loss": "losses:smooth"},
        }
    )
    factories = user_factories(recipe)
    assert factories == {"model.factory": "nets:build", "data.factory": "data:load", "train.loss": "losses:smooth"}
    assert set(user_factories(recipe, "model", "train")) == {"model.factory", "train.loss"}
    for name in ("nets", "data", "losses"):
        (tmp_path / f"{name}.py").write_text("")
    assert set(named_digests(factories, tmp_path)) == {
        "model.factory nets.py",
        "data.factory data.py",
        "train.loss losses.py",
    }


def test_a_recipe_of_what_comes_with_the_package_names_none() -> None:
    recipe = Recipe.model_validate({"name": "tiny", "model": {"name": "mlp"}, "data": {"name": "fashion-mnist"}})
    assert user_factories(recipe) == {}
