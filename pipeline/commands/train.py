"""`pipeline.train`: it makes the float network alone, as the first stages of a build do."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.commands.event_files import EventFiles
from pipeline.commands.preflight import resolve, run_folder
from pipeline.engine.artifacts import TRAINING_PICTURES, Kind
from pipeline.engine.launch import read_launch
from pipeline.engine.manifest import Manifest, read_manifest
from pipeline.engine.runner import Outcome, run_stages
from pipeline.engine.stage import Inputs, Outputs, Reporter, Silent
from pipeline.engine.user_code import faults_of_the_user, user_modules
from pipeline.errors import FileError, UsageError
from pipeline.recipe.loading import DEFAULT_RECIPE
from pipeline.recipe.recipe import Recipe
from pipeline.stages import TRAINING
from pipeline.stages.train import STAGE as TRAIN
from pipeline.stages.train import load, shared_parts, take_part

if TYPE_CHECKING:
    from pipeline.training.processes import Processes

# A former process 0 may still hold the run directory for a moment, after a restart or on another machine.
_LOCK_S = 60.0
# A folder that several machines share may show a new file late: NFS keeps what it knows of folders for so long.
_SHARED_S = 60.0


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

    Under torchrun, all processes of the job train one network together; each of them returns the same.

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
    reporter = reporter or Silent()
    launch = read_launch()
    if launch is None:
        loaded = resolve(recipe, overrides, log=reporter.log)
        return _train(loaded, run_dir, force=force, resume=resume, tensorboard=tensorboard, reporter=reporter)
    from pipeline.training.job import job
    from pipeline.training.processes import require_settings

    with job(launch) as processes:
        loaded = resolve(recipe, overrides, log=reporter.log if processes.leads else Silent().log)
        require_settings(processes, batch_size=loaded.train.batch_size, compiled=loaded.train.compile)
        if not processes.leads:
            return _follow(loaded, run_folder(loaded, run_dir), processes)
        reporter.log(f"train: {processes.count} processes, each of which takes its part of every batch")
        return _train(
            loaded, run_dir, force=force, resume=resume, tensorboard=tensorboard, reporter=reporter, wait_s=_LOCK_S
        )


def _train(
    recipe: Recipe,
    run_dir: Path | str | None,
    *,
    force: bool,
    resume: Path | str | None,
    tensorboard: Path | str | None,
    reporter: Reporter,
    wait_s: float = 0,
) -> TrainResult:
    """Run both stages, in this process or with others."""
    folder = run_folder(recipe, run_dir)
    files = {} if resume is None else {TRAIN.name: _checkpoint(Path(resume), recipe, force=force)}
    events = None if tensorboard is None else EventFiles(Path(tensorboard), reporter)
    with user_modules(recipe.folder):
        manifest, outcomes = run_stages(
            TRAINING, recipe, folder, events or reporter, force=force, resume=files, wait_s=wait_s
        )
    if events is not None:
        events.complete(folder / manifest.one(Kind.TRAINING_HISTORY).path)
    result = _result(recipe, folder, manifest, outcomes)
    names = [path.name for path in (result.metrics, *result.pictures) if path is not None]
    reporter.log(f"train: {', '.join(names)} in {result.history.parent}")
    return result


def _follow(recipe: Recipe, folder: Path, processes: Processes) -> TrainResult:
    """Train with process 0 what it trains, and read what it wrote; nothing is written here."""
    from pipeline.training.job import wait_for_call, wait_for_end

    with user_modules(recipe.folder), faults_of_the_user(f"stage {TRAIN.name}"):  # the same words as in process 0
        call = wait_for_call(processes)
        if call is not None:
            settings = TRAIN.settings(recipe)
            said = json.loads(call)
            _require_same(said["parts"], shared_parts(settings))
            manifest = _shared_manifest(folder, said["data"])
            files = {(artifact.kind, artifact.candidate): folder / artifact.path for artifact in manifest.artifacts()}
            with TemporaryDirectory() as temporary:
                place = Path(temporary)
                outputs = Outputs(
                    stage=TRAIN.name, folder=place, scratch=place, cache=place, reporter=Silent(), declared={}
                )
                take_part(settings, load(settings, Inputs(stage=TRAIN.name, files=files)), outputs)
    wait_for_end(processes)
    return _result(recipe, folder, _shared_manifest(folder, None), ())


def _require_same(leading: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Check that this process trains what process 0 trains: they would join answers to other labels unseen.

    Raises:
        UsageError: a setting, a file or a version differs.
    """
    names = sorted(name for name in leading.keys() | own.keys() if leading.get(name) != own.get(name))
    if names:
        name = names[0]
        more = f", and {len(names) - 1} more differ" if names[1:] else ""
        raise UsageError(
            f"{name}: expected {leading.get(name, 'none')} as process 0 has it, found {own.get(name, 'none')}{more}; "
            "run the same command with the same files and versions in all processes"
        )


def _shared_manifest(folder: Path, data_info: str | None) -> Manifest:
    """Read the manifest that process 0 wrote, in the folder that all machines share.

    Args:
        folder: run directory.
        data_info: digest of the facts of the data that process 0 trains on; None for any.

    Raises:
        FileError: it is not there, or is that of other data: the folder is not shared.
    """
    end = time.monotonic() + _SHARED_S
    while True:
        manifest = read_manifest(folder)
        if manifest is not None and data_info in (None, manifest.one(Kind.DATA_INFO).sha256):
            return manifest
        if time.monotonic() > end:
            raise FileError(
                f"{folder}: expected the run directory that process 0 writes to, found "
                f"{'no manifest' if manifest is None else 'one with other data'}; give a --run-dir on storage that all "
                "machines share, under the same path"
            )
        time.sleep(1)


def _result(recipe: Recipe, folder: Path, manifest: Manifest, outcomes: tuple[Outcome, ...]) -> TrainResult:
    history = folder / manifest.one(Kind.TRAINING_HISTORY).path
    weights = manifest.one(Kind.WEIGHTS)
    metrics = [folder / artifact.path for artifact in manifest.artifacts() if artifact.kind is Kind.VALIDATION_METRICS]
    pictures = [folder / artifact.path for artifact in manifest.artifacts() if artifact.kind in TRAINING_PICTURES]
    return TrainResult(
        recipe=recipe.name,
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
