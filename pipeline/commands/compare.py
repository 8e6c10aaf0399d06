"""`pipeline.compare`: it counts the decisions in which two archives differ, before one replaces the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.commands.output_file import require_own_file
from pipeline.commands.vouched import open_vouched
from pipeline.engine.stage import Reporter, Silent
from pipeline.errors import DataError, FileError, UsageError
from pipeline.model_code.require import require_safe_model

if TYPE_CHECKING:
    from pipeline._handlers.description import Serving
    from pipeline.archive.mar import Archive
    from pipeline.scoring.comparison import ArchiveComparison
    from pipeline.scoring.differences import Difference, Tally
    from pipeline.scoring.sources import Source
    from pipeline.tasks.task import Task

# So many differing examples are in the result; all of them go into the file that `out` names.
SHOWN = 20
# These settings of a regression follow from the data that it was trained on.
_OF_TRAINING = ("center", "scale")


def compare(
    old: Path | str,
    new: Path | str,
    *,
    data: Path | str,
    targets: Sequence[str] = (),
    max_differing: float | None = None,
    out: Path | str | None = None,
    workers: int = 1,
    public_key: Path | str | None = None,
    require_signature: bool = False,
    allowed_operators: Sequence[str] = (),
    reporter: Reporter | None = None,
) -> ArchiveComparison:
    """Answer the same examples with two archives, and count the decisions that differ.

    Both archives are checked as `serve` checks them; nothing of their own code is run.

    Args:
        old: the `.mar` that is in use.
        new: the `.mar` that might replace it: same task, inputs and labels.
        data: a split as a build writes it, or a folder of them, as for `verify`; or a folder of pictures, a table or
            arrays. Targets are taken where they are there: labels of a split, `labels.csv` in a folder of pictures,
            which is read as training reads it, or folders with the names of the labels.
        targets: columns of a table, or of `labels.csv`, that hold the targets.
        max_differing: largest share of decisions that may differ, above 0 and below 1.
        out: `.csv` file for every example that differs, with both answers.
        workers: number of processes that answer, for each archive.
        public_key: key to check both signatures with, PEM.
        require_signature: whether to refuse to go without a key.
        allowed_operators: operators that the model files may use beside those that only compute; see
            `pipeline.model_code`.
        reporter: reporter that is told what happens; silent by default.

    Returns:
        How far they are apart. Its `require` raises where it is not shown that they are inside the limit.

    Raises:
        UsageError: they are not comparable, or take no such data.
        FileError: an archive or data are missing, altered or not readable, or nothing can be written.
        ProofError: golden answers differ on this machine, or a process that answers ended.
        DataError: there is nothing to compare, or it does not fit the models.
    """
    data, reporter = Path(data), reporter or Silent()
    if max_differing is not None and not 0 < max_differing < 1:
        raise UsageError(f"--max-differing: expected a share above 0 and below 1, found {max_differing:g}")
    if workers < 1:
        raise UsageError(f"--workers: expected 1 or more, found {workers}")
    if out is not None and Path(out).suffix.lower() != ".csv":
        raise UsageError(f"--out: expected a name ending in .csv, found {Path(out).name!r}")
    if out is not None:
        require_own_file(Path(out), {"the old archive": Path(old), "the new archive": Path(new), "the data": data})
    archives = []
    for path in (Path(old), Path(new)):
        vouched = open_vouched(
            path,
            public_key=None if public_key is None else Path(public_key),
            require_signature=require_signature,
        )
        archives.append(vouched.archive)
    _require_comparable(*archives)
    for archive in archives:
        require_safe_model(archive.path, archive.serving.runtime, archive.members, allowed_operators=allowed_operators)
    return _compare(
        archives[0],
        archives[1],
        data,
        targets=targets,
        limit=max_differing,
        out=None if out is None else Path(out),
        workers=workers,
        reporter=reporter,
    )


def _compare(
    old: Archive,
    new: Archive,
    data: Path,
    *,
    targets: Sequence[str],
    limit: float | None,
    out: Path | None,
    workers: int,
    reporter: Reporter,
) -> ArchiveComparison:
    from pipeline.scoring.comparison import conclude
    from pipeline.scoring.difference_file import DifferenceFile
    from pipeline.scoring.differences import Tally
    from pipeline.tasks.table import task_named

    task = task_named(old.serving.task, _fixed_settings(old.serving), outputs=old.serving.outputs)
    sources = _sources(data, old.serving, task, targets)
    tally = Tally(task=task, old=old.serving, new=new.serving)
    notes = [note for source in sources for note in source.notes]
    for note in notes:
        reporter.log(note)
    shown: list[Difference] = []
    with ExitStack() as stack:
        file = (
            None if out is None else stack.enter_context(DifferenceFile(out, old.serving, new.serving, sources[0].key))
        )
        for source in sources:
            for difference in _differences(tally, source, old, new, targets, workers=workers, reporter=reporter):
                shown += [difference] * (len(shown) < SHOWN)
                if file is not None:
                    file.add(difference)
        if not tally.examples:
            reason = f", first {tally.unreadable[0][0]}: {tally.unreadable[0][1]}" if tally.unreadable else ""
            raise DataError(f"{data}: expected an example that one of the archives answers, found none{reason}")
        if file is not None:
            file.finish()
    return conclude(old, new, data, tally, shown, limit=limit, notes=notes)


def _differences(
    tally: Tally,
    source: Source,
    old: Archive,
    new: Archive,
    columns: Sequence[str],
    *,
    workers: int,
    reporter: Reporter,
) -> Iterator[Difference]:
    """Answer one source with both archives, and yield the examples that differ."""
    from pipeline.scoring.batches import batch_size_of, request_size
    from pipeline.scoring.pool import Pool
    from pipeline.scoring.targets import targets_of

    targets = targets_of(source, old.serving, tally.task, columns)
    sizes = [batch_size_of(archive.serving, None) for archive in (old, new)]
    size = request_size(max(sizes))
    with (
        Pool(old, source, form="outputs", workers=workers, batch_size=sizes[0]) as old_pool,
        Pool(new, source, form="outputs", workers=workers, batch_size=sizes[1]) as new_pool,
    ):
        reporter.log(f"{old.path} and {new.path}: pictures and golden answers agree")
        first = 0
        old_answers = old_pool.answers(source.requests(size=size))
        for old_part, new_part in zip(old_answers, new_pool.answers(source.requests(size=size)), strict=True):
            end = first + old_part.examples
            if targets is not None and end > len(targets):
                raise FileError(f"{source}: expected {len(targets)} examples, found more; it was changed meanwhile")
            yield from tally.add(old_part, new_part, None if targets is None else targets[first:end])
            first = end
            detail = f"{source.unit}, {tally.differing:,} differ"
            reporter.progress("compared", old_part.request.done, source.total, detail)


def _require_comparable(old: Archive, new: Archive) -> None:
    """Refuse archives that do not answer the same question.

    Raises:
        UsageError: task, inputs or labels differ; the text names the first difference.
    """
    mine, other = old.serving, new.serving
    if (mine.task, _settings(mine)) != (other.task, _settings(other)):
        raise UsageError(
            f"{new.path}: expected the task of {old.path}, {_in_words(mine)}, found {_in_words(other)}; "
            "their decisions cannot be compared"
        )
    if mine.activation != other.activation and mine.task != "classification":
        raise UsageError(
            f"{new.path}: expected outputs as those of {old.path}, activation {mine.activation}, found "
            f"{other.activation}; only the decisions of classifiers can be compared across them"
        )
    described = [spec.to_json() for spec in mine.inputs]
    if described != (others := [spec.to_json() for spec in other.inputs]):
        raise UsageError(
            f"{new.path}: expected the inputs of {old.path}, found others: {_first_difference(described, others)}"
        )
    if mine.outputs != other.outputs:
        pair = [[spec.to_json() for spec in serving.outputs] for serving in (mine, other)]
        raise UsageError(
            f"{new.path}: expected the outputs of {old.path}, in their order, found others: {_first_difference(*pair)}"
        )
    if mine.labels != other.labels:
        pair = [[{"label": label} for label in serving.labels] for serving in (mine, other)]
        raise UsageError(
            f"{new.path}: expected the labels of {old.path}, in their order, found others: {_first_difference(*pair)}"
        )


def _fixed_settings(serving: Serving) -> dict[str, Any]:
    """Return the settings of the task, with tolerances that are the same for all examples.

    A share is one of the usual spread that the old archive's outputs had in its build, whatever is compared now.
    """
    from pipeline.recipe.task import Outputs, share_of_spread

    settings = dict(serving.task_settings)
    if serving.task != "outputs":
        return settings
    tolerance = settings.get("tolerance", Outputs().tolerance)
    fixed = {}
    for limit in serving.golden.tolerance.outputs:
        value = tolerance[limit.name] if isinstance(tolerance, dict) else tolerance
        # A tolerance is above 0; the smallest one takes equal values alone.
        fixed[limit.name] = (
            share_of_spread(value) * limit.usual_spread + limit.absolute or sys.float_info.min
            if isinstance(value, str)
            else value
        )
    return {**settings, "tolerance": fixed}


def _settings(serving: Serving) -> dict[str, Any]:
    """Return the settings of the task that decisions depend on."""
    return {key: value for key, value in serving.task_settings.items() if key not in _OF_TRAINING}


def _in_words(serving: Serving) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in _settings(serving).items())
    return f"{serving.task} with {settings}" if settings else serving.task


def _first_difference(mine: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> str:
    if len(mine) != len(others):
        return f"{len(mine)} and {len(others)}"
    index = next(index for index, pair in enumerate(zip(mine, others, strict=True)) if pair[0] != pair[1])
    left, right = mine[index], others[index]
    key = next(key for key in {**left, **right} if left.get(key) != right.get(key))
    return f"number {index}, {key}: {left.get(key)} and {right.get(key)}"


def _sources(data: Path, serving: Serving, task: Task, columns: Sequence[str]) -> tuple[Source, ...]:
    """Open the data; of splits, and of pictures in splits, those that were trained on are left out."""
    from pipeline.data.dataset import SPLITS
    from pipeline.recipe.task import judged_by_labels
    from pipeline.scoring.folder import open_folder, without_training
    from pipeline.scoring.folder_labels import LABELS_FILE, with_labels
    from pipeline.scoring.opening import open_source

    if not data.is_dir():
        return (open_source(data, serving.inputs),)
    if not (splits := sorted(data.glob("*.safetensors"))):
        if judged_by_labels(task.settings) and (data / LABELS_FILE).is_file():
            return (with_labels(open_folder(data, serving.inputs, labels=LABELS_FILE), task.settings, columns),)
        return (without_training(open_folder(data, serving.inputs)),)
    held_out = [path for path in splits if path.stem != SPLITS[0]]
    if not held_out:
        raise FileError(f"{data}: expected a split such as test.safetensors, found {splits[0].name} alone")
    return tuple(open_source(path, serving.inputs) for path in held_out)
