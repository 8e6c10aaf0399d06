"""Recipes are read by name, with overrides, and all problems are reported at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.recipe.loading import builtin_recipes, load_recipe
from tests.recipe_files import MINIMAL, write


@pytest.mark.parametrize("name", builtin_recipes())
def test_every_builtin_recipe_parses(name: str) -> None:
    assert load_recipe(name).name == name


def test_name_is_the_files_stem_and_folder_is_where_it_lies(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL))
    assert recipe.name == "mine"
    assert recipe.model_name == "mine"
    assert recipe.folder == tmp_path.resolve()


def test_overrides_are_toml_or_else_text(tmp_path: Path) -> None:
    recipe = load_recipe(
        write(tmp_path, MINIMAL), ["train.epochs=3", "select.goal=size", "model.arguments.dropout=0.5"]
    )
    assert recipe.train.epochs == 3
    assert recipe.select.goal == "size"
    assert recipe.model.arguments == {"dropout": 0.5}


def test_an_override_that_reads_as_a_number_is_text_where_text_is_asked_for(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, MINIMAL), ["package.version=1.10", "name=7"])
    assert (recipe.package.version, recipe.name) == ("1.10", "7")


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = MINIMAL + '[train]\nepochs = -1\nspeed = 9\n[select]\ngoal = "fame"\n'
    with pytest.raises(UsageError) as caught:
        load_recipe(write(tmp_path, text))
    message = str(caught.value)
    assert "train.epochs: Input should be greater than or equal to 0, found -1" in message
    assert "train.speed: unknown key" in message
    assert "select.goal: Input should be 'latency', 'throughput' or 'size', found 'fame'" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.epoch=3", "train.epoch: unknown key; did you mean train.epochs?"),
        ("budget.max_acuracy_drop=1", "budget.max_acuracy_drop: unknown key; did you mean budget.max_accuracy_drop?"),
        ("trian.epochs=3", "trian: unknown key; did you mean train?"),
        ("model.preprocessing.men=1", "model.preprocessing.men: unknown key; did you mean model.preprocessing.mean?"),
        (
            "model.preprocessing='hub:resnet50'",
            "model.preprocessing.preset: String should match pattern '^(torchvision|timm):",
        ),
        (
            "model.preprocessing={preset='timm:resnet50', mean=[0.5]}",
            "model.preprocessing: mean: expected none beside timm:resnet50, which has its own",
        ),
        (
            "train.zzz=true",
            "train.zzz: unknown key; expected one of epochs, batch_size, accumulate, optimizer, momentum",
        ),
        ("export.zzz=1", "export.zzz: unknown key; expected one of opset"),
        (
            "candidates.variants=[{name='a', passes=[{kind='fine-tune', epoch=3}]}]",
            "fine-tune.epoch: unknown key; did you mean candidates.variants.0.passes.0.fine-tune.epochs?",
        ),
        (
            "candidates.variants=[{name='a', pases=[]}]",
            "variants.0.pases: unknown key; did you mean candidates.variants.0.passes?",
        ),
        (
            "model.name=resnet-18",
            "timm:NAME, or your own in model.factory; did you mean resnet18?, found 'resnet-18'",
        ),
        (
            "data.name=fashion_mnist",
            "or your own in data.factory; did you mean fashion-mnist?, found 'fashion_mnist'",
        ),
        ("data.arguments.size=3", "data: arguments: expected none for fashion-mnist, found size"),
    ],
)
def test_an_unknown_key_comes_with_the_one_that_was_meant(override: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe("fashion-cnn", [override])
    assert str(caught.value).startswith("recipe fashion-cnn: ")
    assert said in str(caught.value)


def test_unknown_recipe_suggests_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"did you mean fashion-cnn\?"):
        load_recipe("fashion-cn")


def test_broken_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected TOML, found"):
        load_recipe(write(tmp_path, "[model\n"))


@pytest.mark.parametrize("override", ["train.epochs", "=3", ".epochs=3", "name.x=3"])
def test_malformed_override_is_named(tmp_path: Path, override: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load_recipe(write(tmp_path, 'name = "x"\n' + MINIMAL), [override])
