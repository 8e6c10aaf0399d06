"""Stage `data`: it writes the data set as files, in three splits."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from pipeline.engine.artifacts import Kind
from pipeline.engine.stage import Inputs, Outputs, Stage
from pipeline.recipe.data import Data
from pipeline.recipe.recipe import Recipe
from pipeline.recipe.section import Section
from pipeline.recipe.task import TaskSettings


class DataSettings(Section):
    """What the stage sees of a recipe; the recipe's folder is left out of the cache key."""

    data: Data
    task: TaskSettings
    fit: bool
    preset: str | None = None
    # Beside a preset, a key that is set to its default is another recipe than one that is not set.
    beside_preset: tuple[str, ...] = ()
    workers: int | None = Field(default=None, exclude=True)
    folder: Path = Field(exclude=True)


def settings(recipe: Recipe) -> DataSettings:
    """Return the stage's view of a recipe."""
    seen = recipe.model.preprocessing
    preset = seen.preset if seen is not None and recipe.data.source == "folder" else None
    return DataSettings(
        # How many processes decode changes nothing in what they decode.
        data=recipe.data.model_copy(update={"workers": None}),
        workers=recipe.data.workers,
        task=recipe.task,
        fit=recipe.fits_statistics,
        preset=preset,
        beside_preset=() if preset is None else tuple(sorted(recipe.data.model_fields_set)),
        folder=recipe.folder,
    )


def outside(settings: DataSettings) -> dict[str, str]:
    """Return digests of the user's data factory and data, and what a published network says of pictures."""
    from pipeline.data.load import outside_digests
    from pipeline.presets import read_preset

    digests = outside_digests(settings.data, settings.folder, task=settings.task)
    if settings.preset is not None:
        digests["model.preprocessing"] = read_preset(settings.preset).to_json()
    return digests


def run(settings: DataSettings, _inputs: Inputs, outputs: Outputs) -> None:
    """Load the data set, check it, and write its splits and facts."""
    from pipeline.data.dataset import describe, write_info, write_split
    from pipeline.data.load import load_data_set

    data = load_data_set(
        settings.data.model_copy(update={"workers": settings.workers}),
        settings.folder,
        task=settings.task,
        preset=settings.preset,
        scratch=outputs.scratch,
        cache=outputs.cache,
        reporter=outputs.reporter,
    )
    info = describe(data, settings.task, fit=settings.fit)
    write_split(outputs.path(Kind.TRAIN_DATA, "train.safetensors"), data.train)
    write_split(outputs.path(Kind.VALIDATION_DATA, "validation.safetensors"), data.validation)
    write_split(outputs.path(Kind.TEST_DATA, "test.safetensors"), data.test)
    write_info(outputs.path(Kind.DATA_INFO, "data.json"), info)
    outputs.reporter.log(
        f"data: {data.name}, {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test examples"
    )
    for line in info.gaps:
        outputs.reporter.log(f"data: {line}")


STAGE = Stage(
    name="data",
    reads=(),
    writes=(Kind.DATA_INFO, Kind.TRAIN_DATA, Kind.VALIDATION_DATA, Kind.TEST_DATA),
    settings=settings,
    run=run,
    outside=outside,
)
