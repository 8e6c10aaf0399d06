"""What a finished stage left in a run directory, where it is still that of the recipe and as it was written.

The source of this package may be another since then: data are data, and weights are weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.engine.artifacts import Kind, digest_file
from pipeline.engine.cache_key import input_parts, setting_parts, stale_parts
from pipeline.engine.manifest import MANIFEST_NAME, Manifest
from pipeline.engine.stage import Stage
from pipeline.errors import FileError
from pipeline.recipe.recipe import Recipe


def recorded_recipe(run_dir: Path, manifest: Manifest) -> Recipe:
    """Return the recipe of a build, as it was given.

    Raises:
        FileError: this version cannot read it.
    """
    try:
        return Recipe.model_validate({**manifest.settings, "folder": Path(manifest.folder)})
    except ValidationError as error:
        raise FileError(
            f"{run_dir / MANIFEST_NAME}: expected the recipe of this build, found none that this version can read; "
            "run pipeline build again"
        ) from error


def change_since(stage: Stage[Any], recipe: Recipe, manifest: Manifest) -> str:
    """Say what is otherwise than when a stage ran, such as `that setting data.size changed`.

    Returns:
        `none` where it did not run; empty where nothing is otherwise.
    """
    settings = stage.settings(recipe)
    record = manifest.stages.get(stage.name)
    if record is None:
        return "none"
    current = setting_parts(settings) | input_parts(stage, manifest)
    current |= {f"outside {name}": digest for name, digest in stage.outside(settings).items()}
    stale = stale_parts(record, current, kinds=("setting", "input", "outside"))
    return f"that {stale[0]} changed" if stale else ""


def require_unaltered(run_dir: Path, manifest: Manifest, kind: Kind) -> Path:
    """Return the file of a kind that exists once per run.

    Raises:
        FileError: it is missing, or not as the stage wrote it.
    """
    artifact = manifest.one(kind)
    path = run_dir / artifact.path
    if digest_file(path) != artifact.sha256:
        raise FileError(f"{path}: expected the file that training wrote, found another; run pipeline train")
    return path
