"""The worked example, built once: another network and data set than Fashion-MNIST's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import pipeline
from pipeline.init import init_project

# Enough to learn something, and no more timing than it takes to have figures.
QUICK = ("train.epochs=3", "measure.rounds=3", "measure.block_ms=5", "verify.samples=32", "smoke.pictures=4")


@dataclass(frozen=True, kw_only=True)
class Built:
    """A finished build of the example.

    Args:
        recipe: the example's TOML file.
        overrides: what it was built with.
        run_dir: of the build.
        model_store: of the build.
        result: what `pipeline.build` returned.
    """

    recipe: Path
    overrides: tuple[str, ...]
    run_dir: Path
    model_store: Path
    result: pipeline.BuildResult


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("built")
    recipe = folder / "example" / "recipe.toml"
    init_project(recipe.parent)
    run_dir, model_store = folder / "run", folder / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIPELINE_STATE", str(folder / "state"))
        result = pipeline.build(recipe, run_dir=run_dir, model_store=model_store, overrides=QUICK)
        yield Built(recipe=recipe, overrides=QUICK, run_dir=run_dir, model_store=model_store, result=result)
