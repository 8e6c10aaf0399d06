"""The user's own functions that a recipe names: a list of them, and digests of what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pipeline.engine.source import factory_digests
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.task import user_score


def user_factories(recipe: Recipe, *sections: Literal["model", "data", "task", "train"]) -> dict[str, str]:
    """Every function, as `module:function` by the setting that names it.

    Args:
        recipe: recipe that names the functions.
        sections: sections of the recipe that are read; all if none are given.
    """
    settings = {
        "model.factory": recipe.model.factory,
        "data.factory": recipe.data.factory,
        "task.score": user_score(recipe.task),
        "train.loss": recipe.train.loss_factory,
    }
    return {
        setting: factory
        for setting, factory in settings.items()
        if factory is not None and (not sections or setting.partition(".")[0] in sections)
    }


def named_digests(factories: Mapping[str, str], folder: Path) -> dict[str, str]:
    """What functions are made of: digests of source files and versions of libraries, each behind its setting's name.

    Args:
        factories: functions as `module:function`, by the setting that names each.
        folder: folder of the recipe.
    """
    return {
        f"{setting} {name}": digest
        for setting, factory in factories.items()
        for name, digest in factory_digests(factory, folder).items()
    }
