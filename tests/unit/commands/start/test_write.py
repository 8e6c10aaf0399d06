"""A recipe as it is written: TOML with comments that says what was put in, and that a build takes."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from pipeline.commands.start.write import recipe_name, recipe_text, write_recipe
from pipeline.errors import UsageError
from pipeline.recipe.loading import load_recipe

DOCUMENT = {
    "name": "pets",
    "model": {
        "factory": "mine:build",
        "weights": 'odd "name"\\\x7f\n.pth',
        "arguments": {"hidden": [64, 32], "deep": True},
        "preprocessing": {"scale": 1 / 255, "mean": [0.5], "std": [0.25]},
    },
    "data": {"folder": "pics", "size": [32, 32], "classes": ["Kätzchen", "dog"], "columns": {"a b": "ignore"}},
    "task": {},
    "train": {"epochs": 0},
    "budget": {"max_accuracy_drop": 0.0125},
}


def test_it_says_what_was_put_in_and_no_line_is_wide() -> None:
    text = recipe_text(DOCUMENT, remarks={"budget.max_accuracy_drop": "few examples", "train.epochs": "x" * 90})
    assert tomllib.loads(text) == {key: value for key, value in DOCUMENT.items() if value}
    assert "max_accuracy_drop = 0.0125        # few examples" in text
    assert f"# {'x' * 90}:\nepochs = 0" in text
    assert max(map(len, text.splitlines())) <= 100


def test_what_a_build_refuses_is_not_written(tmp_path: Path) -> None:
    refused = {"name": "pets", "model": {"factory": "mine:build"}, "data": {"name": "toy"}}
    with pytest.raises(UsageError, match="expected a module mine in"):
        write_recipe(refused, tmp_path / "recipe.toml", remarks={})
    assert list(tmp_path.iterdir()) == []
    path = write_recipe({**refused, "model": {"name": "mlp"}}, tmp_path / "new" / "recipe.toml", remarks={})
    assert load_recipe(path).name == "pets"


@pytest.mark.parametrize(
    ("folder", "name"), [("my pets", "my-pets"), ("pets.v2", "pets-v2"), ("Ä", "model"), ("x", "x")]
)
def test_a_recipe_is_named_after_its_folder(tmp_path: Path, folder: str, name: str) -> None:
    assert recipe_name(tmp_path / folder) == name
