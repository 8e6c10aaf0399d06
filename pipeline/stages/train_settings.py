"""What the stage `train` sees of a recipe."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.engine.factories import user_factories
from pipeline.recipe.model import Model
from pipeline.recipe.passes import Variant
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section
from pipeline.recipe.train import Train

# The number of checkpoints that are kept changes no weights: in the cache key it always stands as this.
_CHECKPOINTS = Train.model_fields["checkpoints"].default


class TrainSettings(Section):
    """What the stage sees of a recipe. Settings left out of the cache key are only checked, or do not matter."""

    model: Model
    train: Train
    checkpoints: int = Field(default=_CHECKPOINTS, exclude=True)
    variants: tuple[Variant, ...] = Field(default=(), exclude=True)
    search_shift: int = Field(default=0, exclude=True)
    factories: dict[str, str] = Field(exclude=True)
    folder: Path = Field(exclude=True)


def settings(recipe: Recipe) -> TrainSettings:
    """Return the stage's view of a recipe."""
    return TrainSettings(
        model=recipe.model,
        train=recipe.train.model_copy(update={"checkpoints": _CHECKPOINTS}),
        checkpoints=recipe.train.checkpoints,
        variants=recipe.candidates.variants or (),
        search_shift=0 if recipe.search_effort == "off" else recipe.search.shift or 0,
        factories=user_factories(recipe, "model", "task", "train"),
        folder=recipe.folder,
    )


def lasting(settings: TrainSettings) -> TrainSettings:
    """Return the settings without the number of epochs: a longer training may go on where a shorter one ended."""
    return settings.model_copy(update={"train": settings.train.model_copy(update={"epochs": 0})})
