"""The worked example, built once: another network and data set than Fashion-MNIST's."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pipeline
from pipeline.commands.init import init_project
from pipeline.engine.artifacts import Artifact, digest_file
from pipeline.engine.manifest import read_manifest, write_manifest

# Enough to learn something, and no more timing than it takes to have figures.
QUICK = (
    "train.epochs=3",
    "search.effort=off",
    "measure.rounds=6",
    "measure.block_ms=5",
    "verify.samples=32",
    "smoke.pictures=4",
)


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


def build_example(folder: Path) -> None:
    """Write the example into a folder and build it there."""
    init_project(folder / "example")
    _build(folder)


def copy_of_build(folder: Path, copy: Path) -> Built:
    """Copy a finished build, where a second build finds every stage up to date."""
    shutil.copytree(folder, copy, dirs_exist_ok=True)
    return _build(copy)


def _build(folder: Path) -> Built:
    recipe, run_dir, model_store = folder / "example" / "recipe.toml", folder / "run", folder / "store"
    result = pipeline.build(recipe, run_dir=run_dir, model_store=model_store, overrides=QUICK)
    return Built(recipe=recipe, overrides=QUICK, run_dir=run_dir, model_store=model_store, result=result)


def record_anew(run_dir: Path, file: Path) -> None:
    """Let the manifest say what the file is now, as if the build had written it so."""
    manifest = read_manifest(run_dir)
    assert manifest is not None
    record = manifest.stages["candidates"]

    def now(one: Artifact) -> Artifact:
        if run_dir / one.path != file:
            return one
        size, digest = file.stat().st_size, digest_file(file)
        return Artifact(kind=one.kind, path=one.path, sha256=digest, size=size, candidate=one.candidate)

    changed = record.model_copy(update={"artifacts": tuple(now(one) for one in record.artifacts)})
    write_manifest(run_dir, manifest.with_stage("candidates", changed))
