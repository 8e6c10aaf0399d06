"""What a recipe says of training is refused by name where it means nothing, and written only where it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.recipe.loading import builtin_recipes, load_recipe
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.train import Train
from tests.recipe_files import MINIMAL, write

# The settings that recipes had when archives were first made.
FIRST = {
    "epochs",
    "batch_size",
    "optimizer",
    "learning_rate",
    "weight_decay",
    "schedule",
    "loss",
    "label_smoothing",
    "horizontal_flip",
    "shift",
    "seed",
    "device",
}


@pytest.mark.parametrize("name", builtin_recipes())
def test_settings_that_came_later_are_not_written_where_they_are_not_used(name: str) -> None:
    recipe = load_recipe(name)
    written = set(recipe.model_dump(mode="json")["train"])
    assert written >= FIRST
    assert written - FIRST <= recipe.train.model_fields_set


def test_a_recipe_comes_back_as_it_was_written(tmp_path: Path) -> None:
    text = """
[train]
optimizer = "sgd"
momentum = 0.8
schedule = "step"
warm_up = 0.5
class_weights = { "Ankle boot" = 2.0 }
keep = "best"
[train.step]
every = 3
[train.early_stopping]
patience = 4
"""
    recipe = load_recipe(write(tmp_path, MINIMAL + text))
    written = recipe.model_dump(mode="json")
    later = {"momentum", "warm_up", "class_weights", "keep", "step", "early_stopping"}
    assert set(written["train"]) == FIRST | later
    assert written["train"]["step"] == {"every": 3, "factor": 0.1}
    assert Recipe.model_validate({**written, "folder": recipe.folder}) == recipe


def test_lbfgs_has_defaults_of_its_own() -> None:
    train = Train(optimizer="lbfgs")
    assert (train.learning_rate, train.schedule, train.weight_decay) == (1.0, "constant", 0.0)
    assert Train(optimizer="lbfgs", learning_rate=0.5).learning_rate == 0.5
    assert Train.model_validate(train.model_dump()) == train


LBFGS: dict[str, Any] = {"optimizer": "lbfgs"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"momentum": 0.5}, "momentum = 0.5 with optimizer adamw: expected none, because only sgd and rmsprop"),
        ({"nesterov": True}, "nesterov with optimizer adamw: expected none, because only sgd has it"),
        ({"optimizer": "sgd", "nesterov": True, "momentum": 0.0}, "nesterov = true with momentum = 0"),
        ({"lbfgs": {}}, "lbfgs with optimizer adamw: expected none; set optimizer to lbfgs"),
        (LBFGS | {"accumulate": 2}, "accumulate = 2 with optimizer lbfgs: expected 1, because each iteration"),
        (LBFGS | {"mixed_precision": "fp16"}, "mixed_precision fp16 with optimizer lbfgs: expected off, because"),
        (LBFGS | {"mixed_precision": "bf16"}, "mixed_precision bf16 with optimizer lbfgs: expected off, because"),
        (LBFGS | {"clip_norm": 1}, "clip_norm = 1 with optimizer lbfgs: expected none, because"),
        (LBFGS | {"weight_decay": 0.1}, "weight_decay = 0.1 with optimizer lbfgs: expected 0"),
        (LBFGS | {"schedule": "one-cycle"}, "schedule one-cycle with optimizer lbfgs: expected another, because"),
        ({"schedule": "step"}, r"schedule step: expected \[train.step\] with every"),
        ({"step": {"every": 2}}, "step with schedule one-cycle: expected none; set schedule to step"),
        ({"plateau": {}}, "plateau with schedule one-cycle: expected none; set schedule to reduce-on-plateau"),
        ({"epochs": 3, "warm_up": 3}, "warm_up = 3 with epochs = 3: expected fewer, because the schedule would never"),
        (
            {"schedule": "step", "step": {"every": 2}, "warm_up": 2},
            "warm_up = 2 with step.every = 2: expected fewer, because the learning rate would fall before it has risen",
        ),
        ({"loss": "mine:loss", "label_smoothing": 0.1}, "label_smoothing = 0.1 with loss mine:loss: expected 0"),
        ({"loss": "mine:loss", "class_weights": "balanced"}, "class_weights with loss mine:loss: expected none"),
        ({"loss": "l1", "label_smoothing": 0.1}, "label_smoothing = 0.1 with loss l1: expected 0"),
        ({"loss": "mse", "class_weights": {"a": 1}}, "class_weights with loss mse: expected none, because it has no"),
        ({"class_weights": "balanced", "sampling": "balanced"}, "class_weights with sampling balanced: expected one"),
        ({"class_weights": {"a": -1}}, "class_weights.a = -1: expected a finite number above 0"),
        ({"class_weights": {"a": 0}}, "class_weights.a = 0: expected a finite number above 0"),
        ({"class_weights": "equal"}, 'expected "balanced", or a table of class names with a number each'),
        ({"mixed_precision": "fp16", "device": "cpu"}, "mixed_precision fp16 with device cpu: expected a CUDA device"),
        ({"compile": True, "activation_checkpointing": ["a"]}, "activation_checkpointing with compile: expected one"),
        ({"monitor": "loss"}, "monitor loss: expected keep best, early_stopping or schedule reduce-on-plateau"),
        ({"loss": "bce"}, "expected cross-entropy, .*, or your own as module:function"),
        ({"loss": "cross_entropy"}, "did you mean cross-entropy"),
    ],
)
def test_a_combination_that_means_nothing_is_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Train(**settings)


def test_all_combinations_are_reported_at_once() -> None:
    with pytest.raises(ValidationError) as caught:
        Train(optimizer="lbfgs", momentum=0.5, clip_norm=1.0, monitor="loss")
    assert all(said in str(caught.value) for said in ("momentum = 0.5", "clip_norm = 1", "monitor loss"))


REGRESSION = '[task]\nkind = "regression"\ntolerance = 1.0\n'
MULTI_LABEL = '[task]\nkind = "multi-label"\n'
OUTPUTS = '[task]\nkind = "outputs"\n'


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        ("", 'loss = "mse"', "train.loss mse: expected cross-entropy, bce-with-logits in the task classification"),
        (MULTI_LABEL, 'loss = "cross-entropy"', "train.loss cross-entropy: expected bce-with-logits in the task multi"),
        (REGRESSION, 'loss = "cross-entropy"', "expected mse, l1, smooth-l1 in the task regression, or your own as"),
        (REGRESSION, 'class_weights = "balanced"', "train.class_weights: expected none, because the targets of a reg"),
        (REGRESSION, 'sampling = "balanced"', "train.sampling balanced: expected shuffled, because the targets of a"),
        (MULTI_LABEL, 'sampling = "balanced"', "because an example has any number of labels"),
        (OUTPUTS, 'loss = "mse"\nkeep = "best"', 'train.keep by the metric: expected train.monitor = "loss", because'),
        (OUTPUTS, 'loss = "mse"\nschedule = "reduce-on-plateau"', "train.schedule by the metric: expected"),
    ],
)
def test_what_a_task_does_not_have_is_refused(tmp_path: Path, task: str, settings: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load_recipe(write(tmp_path, f"{MINIMAL}{task}[train]\n{settings}\n"))


@pytest.mark.parametrize(
    ("task", "loss"),
    [
        ("", "bce-with-logits"),
        (MULTI_LABEL, "bce-with-logits"),
        (REGRESSION, "smooth-l1"),
        (OUTPUTS, "cross-entropy"),
    ],
)
def test_a_built_in_loss_is_no_factory(tmp_path: Path, task: str, loss: str) -> None:
    recipe = load_recipe(write(tmp_path, f'{MINIMAL}{task}[train]\nloss = "{loss}"\n'))
    assert (recipe.train.loss, recipe.train.loss_factory) == (loss, None)
    own = load_recipe(write(tmp_path, f'{MINIMAL}{task}[train]\nloss = "mine:loss"\n'))
    assert own.train.loss_factory == "mine:loss"
