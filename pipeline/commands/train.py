"""`pipeline.train`: it makes the float network alone, as the first stages of a build do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.commands.event_files import EventFiles
from pipeline.commands.preflight import resolve, run_folder
from pipeline.engine.artifacts import TRAINING_PICTURES, Kind
from pipeline.engine.runner import Outcome, run_stages
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import user_modules
from pipeline.errors import FileError, UsageError
from pipeline.recipe.loading import DEFAULT_RECIPE
from pipeline.recipe.recipe import Recipe
from pipeline.stages import TRAINING
from pipeline.stages.train import STAGE as TRAIN


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a training.

    Args:
        recipe: name of the recipe.
        run_dir: folder where everything lies; `build` goes on from there.
        weights: file of the float network's weights (safetensors).
        weights_sha256: SHA-256 of that file.
        history: file of losses and accuracies by epoch, and of the last figures (JSON).
        metrics: file of the metrics on validation (JSON); None where the data have no labels to judge by.
        pictures: learning curves, and where there are such the confusion matrix and the examples that are most wrong.
        stages: what each stage did.
    """

    recipe: str
    run_dir: Path
    weights: Path
    weights_sha256: str
    history: Path
    stages: tuple[Outcome, ...]
    metrics: Path | None = None
    pictures: tuple[Path, ...] = ()


def train(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
    force: bool = False,
    resume: Path | str | None = None,
    tensorboard: Path | str | None = None,
    reporter: Reporter | None = None,
) -> TrainResult:
    """Get the data ready and train the float network, or load the weights that the recipe names.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        run_dir: folder to work in; `runs/<recipe>` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        force: whether to run both stages even if they are up to date.
        resume: checkpoint to go on from, or a folder of them, of which the last whole one is taken; by default an
            interrupted training goes on from its own.
        tensorboard: folder for event files of the training's figures, which TensorBoard draws; none by default.
        reporter: reporter that is told what happens; silent by default.

    Returns:
        The paths of the weights and of the history of the training.

    Raises:
        PipelineError: see `pipeline.errors` for the tree.
    """
    loaded = resolve(recipe, overrides, log=(reporter or Silent()).log)
    folder = run_folder(loaded, run_dir)
    files = {} if resume is None else {TRAIN.name: _checkpoint(Path(resume), loaded, force=force)}
    reporter = reporter or Silent()
    events = None if tensorboard is None else EventFiles(Path(tensorboard), reporter)
    with user_modules(loaded.folder):
        manifest, outcomes = run_stages(TRAINING, loaded, folder, events or reporter, force=force, resume=files)
    history = folder / manifest.one(Kind.TRAINING_HISTORY).path
    if events is not None:
        events.complete(history)
    weights = manifest.one(Kind.WEIGHTS)
    metrics = [folder / artifact.path for artifact in manifest.artifacts() if artifact.kind is Kind.VALIDATION_METRICS]
    pictures = [folder / artifact.path for artifact in manifest.artifacts() if artifact.kind in TRAINING_PICTURES]
    reporter.log(f"train: {', '.join(path.name for path in (*metrics, *pictures))} in {history.parent}")
    return TrainResult(
        recipe=loaded.name,
        run_dir=folder,
        weights=folder / weights.path,
        weights_sha256=weights.sha256,
        history=history,
        stages=outcomes,
        metrics=metrics[0] if metrics else None,
        pictures=tuple(pictures),
    )


def _checkpoint(path: Path, recipe: Recipe, *, force: bool) -> Path:
    """Check, before the data are read, what can be checked of a checkpoint to go on from."""
    if force:
        raise UsageError(f"--resume {path} with --force: expected one of them: force begins anew, resume goes on")
    if recipe.train.epochs == 0:
        raise UsageError(f"--resume {path}: expected train.epochs of 1 or more, found 0: nothing is trained")
    if not path.exists():
        raise FileError(f"--resume {path}: expected a checkpoint of pipeline train, or a folder of them, found none")
    return path
