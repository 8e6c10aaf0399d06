"""The page on training names every key that there is and no other, and what it shows is a recipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.recipe.loading import load_recipe
from pipeline.recipe.section import Section
from pipeline.recipe.train import EarlyStopping, Lbfgs, Plateau, StepDecay, Train
from tests.recipe_files import MINIMAL, write

PAGE = (Path(__file__).parents[3] / "docs" / "training.md").read_text(encoding="utf-8")
BLOCKS: list[str] = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_recipe_of_the_page_is_one(tmp_path: Path, block: str) -> None:
    load_recipe(write(tmp_path, MINIMAL + block))


def test_the_table_of_keys_names_all_that_came_later() -> None:
    table = PAGE.partition("## Keys")[2].partition("```")[0]
    named = set(re.findall(r"`(\w+)`", table))
    sections: dict[str, type[Section]] = {
        "lbfgs": Lbfgs,
        "step": StepDecay,
        "plateau": Plateau,
        "early_stopping": EarlyStopping,
    }
    assert Train.LATER - sections.keys() <= named
    for table_name, section in sections.items():
        (row,) = [line for line in table.splitlines() if f"`[train.{table_name}]`" in line]
        assert set(section.model_fields) == set(re.findall(r"`(\w+)`", row))


@pytest.mark.parametrize(
    "settings",
    [
        'optimizer = "lbfgs"\naccumulate = 2',
        'optimizer = "lbfgs"\nmixed_precision = "bf16"',
        'optimizer = "lbfgs"\nclip_norm = 1.0',
        'optimizer = "lbfgs"\nweight_decay = 0.1',
        'optimizer = "lbfgs"\nschedule = "one-cycle"',
        "momentum = 0.9",
        "nesterov = true",
        'schedule = "step"',
        "step = { every = 2 }",
        "warm_up = 8",
        'class_weights = "balanced"\nsampling = "balanced"',
        'class_weights = "balanced"\nloss = "mine:loss"',
        'mixed_precision = "fp16"\ndevice = "cpu"',
        'activation_checkpointing = ["a"]\ncompile = true',
        'monitor = "loss"',
    ],
)
def test_what_the_page_calls_refused_is(tmp_path: Path, settings: str) -> None:
    with pytest.raises(UsageError, match=r"train: .*(expected|found)"):
        load_recipe(write(tmp_path, f"{MINIMAL}[train]\n{settings}\n"))
