"""`pipeline.profile`: it says where the time of training, or of forward passes, goes, and what would shorten it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import psutil

from pipeline.commands.finished import change_since, require_unaltered
from pipeline.commands.preflight import resolve, run_folder
from pipeline.engine.artifacts import Kind
from pipeline.engine.documents import write_document
from pipeline.engine.manifest import read_manifest, write_atomically
from pipeline.engine.places import no_room, os_error_text
from pipeline.engine.runner import run_stages
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import faults_of_the_user, user_modules
from pipeline.errors import FileError, UsageError
from pipeline.profiling.document import PROFILE_NAME, Mode, Profile, TableOrder, read_profile, trace_paths
from pipeline.recipe.loading import DEFAULT_RECIPE
from pipeline.recipe.names import meant
from pipeline.recipe.recipe import Recipe
from pipeline.stages import train
from pipeline.stages.data import STAGE as DATA
from pipeline.stages.ensemble import members_of

if TYPE_CHECKING:
    from pipeline.profiling.record import StepSchedule
    from pipeline.stages.float_network import LoadedData

TEXT_NAME = "profile.txt"
# Folders of profiles that are not finished; the number of their process comes behind it.
_UNFINISHED = ".unfinished-"
DEFAULT_WAIT, DEFAULT_WARM_UP, DEFAULT_STEPS, DEFAULT_ROWS = 2, 2, 10, 15


@dataclass(frozen=True, kw_only=True)
class ProfileResult:
    """A profile, and where it lies.

    Args:
        folder: folder of the files.
        profile: all that was recorded, measured and tried; it is profile.json.
        text: lines that a person reads; they are profile.txt.
        files: all files, profile.json the last.
    """

    folder: Path
    profile: Profile
    text: tuple[str, ...]
    files: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the profile, and the paths of its files, as JSON values."""
        return {**self.profile.model_dump(mode="json"), "files": [str(path) for path in self.files]}


def profile(
    recipe: str | Path | Recipe = DEFAULT_RECIPE,
    *,
    run_dir: Path | str | None = None,
    overrides: Sequence[str] = (),
    inference: bool = False,
    batch_sizes: Sequence[int] = (),
    wait: int = DEFAULT_WAIT,
    warm_up: int = DEFAULT_WARM_UP,
    steps: int = DEFAULT_STEPS,
    trials: bool = True,
    out: Path | str | None = None,
    order: str = "self",
    rows: int = DEFAULT_ROWS,
    by_shape: bool = False,
    operators: Sequence[str] = (),
    compare: Path | str | None = None,
    reporter: Reporter | None = None,
) -> ProfileResult:
    """Profile the steps of a recipe's training, or forward passes of its float network, with torch.profiler.

    The data are those of the run directory; where it has none yet, they are made there as training makes them. Nothing
    else of the run is changed: steps are taken on a copy of the network, and no checkpoint is written.

    Args:
        recipe: a built-in name, the path of a TOML file, or a recipe.
        run_dir: run directory; `runs/<recipe>` by default.
        overrides: `section.key=value` strings, for a recipe given by name or path.
        inference: whether forward passes are profiled instead of training.
        batch_sizes: examples in a forward pass, each size by itself; those of the recipe's `measure` by default.
        wait: steps before the profiler is started.
        warm_up: steps in which it runs and records nothing.
        steps: steps that it records.
        trials: whether other settings are tried, which hints need.
        out: folder of the files; `profile`, or `profile-inference`, in the run directory by default.
        order: what the table is sorted by.
        rows: number of operators in the table.
        by_shape: whether calls with other shapes of inputs are rows of their own.
        operators: names of the operators that are shown; empty for all.
        compare: an earlier profile, or its folder, to show beside this one.
        reporter: reporter that is told what happens; silent by default.

    Raises:
        UsageError: there is nothing to train, an argument means nothing, or there is no operator of that name.
        FileError: there is no earlier profile, the data in the run directory are those of another recipe, or the files
            cannot be written.
        PipelineError: see `pipeline.errors` for the tree.
    """
    _check_numbers(wait=wait, warm_up=warm_up, steps=steps, rows=rows, batch_sizes=batch_sizes)
    table_order = _order(order)
    reporter = reporter or Silent()
    loaded = resolve(recipe, overrides, log=reporter.log)
    _check_mode(loaded, inference=inference, batch_sizes=batch_sizes)
    old = None if compare is None else _earlier(Path(compare), "inference" if inference else "training")
    folder = run_folder(loaded, run_dir)
    target = Path(out) if out is not None else folder / ("profile-inference" if inference else "profile")
    with _folder_for(target) as unfinished, user_modules(loaded.folder), faults_of_the_user("profile"):
        from pipeline.profiling.comparison import comparison_lines
        from pipeline.profiling.record import StepSchedule
        from pipeline.profiling.summary import profile_lines

        data = _data(loaded, folder, reporter)
        plan = StepSchedule(wait=wait, warm_up=warm_up, steps=steps)
        if inference:
            sizes = tuple(dict.fromkeys(batch_sizes or loaded.measure.batch_sizes))
            profiled = _inference(loaded, data, plan, sizes, unfinished, reporter)
        else:
            profiled = _training(loaded, data, plan, unfinished, reporter, trials=trials)
        text = tuple(profile_lines(profiled, order=table_order, rows=rows, by_shape=by_shape))
        files = _write(unfinished, target, profiled, text)
    if operators:
        text = tuple(profile_lines(profiled, order=table_order, rows=rows, by_shape=by_shape, operators=operators))
    if old is not None:
        text = (*text, "", *comparison_lines(old, profiled, rows=rows))
    return ProfileResult(folder=target, profile=profiled, text=text, files=files)


def _check_numbers(*, wait: int, warm_up: int, steps: int, rows: int, batch_sizes: Sequence[int]) -> None:
    """Check numbers, each by the name of its option."""
    least = [("--wait", wait, 0), ("--warm-up", warm_up, 1), ("--steps", steps, 1), ("--rows", rows, 1)]
    for name, value, smallest in (*least, *(("--batch-size", size, 1) for size in batch_sizes)):
        if value < smallest:
            why = "; the profiler's own first step is slow" if name == "--warm-up" else ""
            raise UsageError(f"{name} {value}: expected {smallest} or more, found {value}{why}")


def _order(name: str) -> TableOrder:
    """Return what the table is sorted by."""
    orders: tuple[TableOrder, ...] = get_args(TableOrder)
    for order in orders:
        if order == name:
            return order
    raise UsageError(f"--sort {name}: expected one of {', '.join(orders)}, found {name}{meant(name, orders)}")


def _check_mode(recipe: Recipe, *, inference: bool, batch_sizes: Sequence[int]) -> None:
    """Check what training, or forward passes, are profiled with."""
    if batch_sizes and not inference:
        raise UsageError(
            f"--batch-size {batch_sizes[0]}: expected none without --inference; the batches of training are set by "
            f"--set train.batch_size={batch_sizes[0]}"
        )
    if not inference and recipe.train.epochs == 0:
        raise UsageError("train.epochs: expected 1 or more, found 0: nothing is trained; profile with --inference")


def _earlier(place: Path, mode: Mode) -> Profile:
    """Read the profile to compare with."""
    old = read_profile(place)
    if old.mode != mode:
        raise UsageError(f"--compare {place}: expected a profile of {mode}, found one of {old.mode}")
    return old


def _data(recipe: Recipe, folder: Path, reporter: Reporter) -> LoadedData:
    """Read the data of the run directory; where it has none yet, they are made there first.

    Raises:
        FileError: they are those of another recipe, or were altered.
        UsageError: they have no labels, and the recipe trains.
    """
    from pipeline.data.dataset import read_info, read_split
    from pipeline.stages.float_network import LoadedData
    from pipeline.training.unlabelled import require_no_labels

    manifest = read_manifest(folder)
    if manifest is None or DATA.name not in manifest.stages:
        manifest, _ = run_stages((DATA,), recipe, folder, reporter)
    if problem := change_since(DATA, recipe, manifest):
        raise FileError(
            f"{folder}: expected the data of this recipe, found {problem}; run pipeline train, or give another "
            "--run-dir"
        )
    paths = {
        kind: require_unaltered(folder, manifest, kind)
        for kind in (Kind.DATA_INFO, Kind.TRAIN_DATA, Kind.VALIDATION_DATA)
    }
    info = read_info(paths[Kind.DATA_INFO])
    if not info.labelled:
        settings = train.STAGE.settings(recipe)
        require_no_labels(info.name, loss=recipe.train.loss, variants=settings.variants, epochs=recipe.train.epochs)
    return LoadedData(
        info=info,
        train=read_split(paths[Kind.TRAIN_DATA]),
        validation=read_split(paths[Kind.VALIDATION_DATA]),
    )


def _training(
    recipe: Recipe, data: LoadedData, plan: StepSchedule, folder: Path, reporter: Reporter, *, trials: bool
) -> Profile:
    """Profile training as the stage that trains would begin it; of an ensemble, that of its first member."""
    from pipeline.profiling.training_profile import Training, profile_training
    from pipeline.stages.float_network import prepare_network, training_settings
    from pipeline.training.loss import of_labels
    from pipeline.training.settings import Objective, TrainingData

    name, settings = next(members_of(train.STAGE.settings(recipe)))
    if name:
        reporter.log(f"profile: the training of the first member, {name}")
    prepared = prepare_network(settings, data, reporter)
    training = Training(
        spec=prepared.spec,
        network=prepared.network,
        data=TrainingData(task=prepared.task, train=data.train, validation=data.validation),
        settings=training_settings(settings),
        objective=Objective(loss=of_labels(prepared.criterion), criterion=prepared.criterion),
        scratch=folder,
    )
    return profile_training(training, plan, recipe=recipe.name, folder=folder, trials=trials, reporter=reporter)


def _inference(
    recipe: Recipe, data: LoadedData, plan: StepSchedule, sizes: Sequence[int], folder: Path, reporter: Reporter
) -> Profile:
    """Profile forward passes of the network that training would begin with: its values do not count."""
    from pipeline.models.ensemble import assemble
    from pipeline.profiling.inference_profile import profile_inference
    from pipeline.stages.float_network import prepare_network

    members = [prepare_network(settings, data, reporter) for _, settings in members_of(train.STAGE.settings(recipe))]
    spec, network = members[0].spec, members[0].network
    if len(members) > 1:
        network = assemble([member.network for member in members], spec)
    return profile_inference(
        spec,
        network,
        data.validation,
        plan,
        batch_sizes=sizes,
        device=recipe.train.device,
        recipe=recipe.name,
        folder=folder,
        reporter=reporter,
    )


@contextmanager
def _folder_for(target: Path) -> Iterator[Path]:
    """Make a folder to write to, and one inside it for files that are not finished, which goes away afterwards.

    Raises:
        FileError: nothing can be written there.
    """
    try:
        target.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        unfinished = tempfile.TemporaryDirectory(prefix=f"{_UNFINISHED}{os.getpid()}-", dir=target)
    except OSError as error:
        message = f"--out {target}: expected a folder to write to, found: {os_error_text(error)}"
        raise FileError(no_room(error, target) or message) from error
    with unfinished as name:
        yield Path(name)


def _sweep(target: Path) -> None:
    """Remove what a profile that was killed has left."""
    for path in target.glob(f"{_UNFINISHED}*"):
        if not psutil.pid_exists(int(path.name.removeprefix(_UNFINISHED).partition("-")[0])):
            shutil.rmtree(path, ignore_errors=True)


def _write(unfinished: Path, target: Path, profile: Profile, text: Sequence[str]) -> tuple[Path, ...]:
    """Give the traces their final names, then write the text, and last the profile itself."""
    try:
        _remove_former(target)
        traces = []
        for path in sorted(path for path in unfinished.rglob("*") if path.is_file()):
            traces.append(target / path.relative_to(unfinished))
            traces[-1].parent.mkdir(exist_ok=True)
            path.replace(traces[-1])
        write_atomically(target / TEXT_NAME, "".join(f"{line}\n" for line in text).encode())
        write_document(target / PROFILE_NAME, profile)
    except OSError as error:
        message = f"{target}: expected to write the profile there, found: {os_error_text(error)}"
        raise FileError(no_room(error, target) or message) from error
    return (*traces, target / TEXT_NAME, target / PROFILE_NAME)


def _remove_former(folder: Path) -> None:
    """Remove the traces of an earlier profile in the folder; no other file there is touched."""
    try:
        former = read_profile(folder)
    except FileError:
        return
    for recording in former.recordings:
        for path in trace_paths(recording.trace):
            (folder / path).unlink(missing_ok=True)
    (folder / PROFILE_NAME).unlink(missing_ok=True)
