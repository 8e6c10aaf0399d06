"""From what a recipe says of its data to a DataSet, and to digests of what it is read from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import assert_never

from pipeline.data.dataset import DataSet
from pipeline.data.table import BUILT_IN
from pipeline.engine.argument_files import all_paths, argument_digests
from pipeline.engine.artifacts import digest_file
from pipeline.engine.factories import named_digests
from pipeline.engine.reads import ANY_FILE
from pipeline.engine.stage import Reporter, Silent
from pipeline.engine.user_code import import_factory
from pipeline.errors import DataError, UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import TaskSettings


def load_data_set(
    data: Data,
    folder: Path,
    *,
    task: TaskSettings,
    preset: str | None = None,
    scratch: Path,
    cache: Path,
    reporter: Reporter,
) -> DataSet:
    """Return the data set that a recipe asks for, checked.

    Args:
        data: section of the recipe.
        folder: folder of the recipe; the user's modules, `data.path` and `data.folder` are looked up there.
        task: settings of the task, which say what targets are.
        preset: a published network that says how pictures are decoded; None where the recipe names none.
        scratch: folder for work that goes on after an interruption.
        cache: folder for what another build of the same run directory may use again.
        reporter: receives what is fetched, decoded and found.

    Raises:
        UsageError: no such data set or factory, or wrong arguments.
        DataError: the data cannot be had, or are not what a DataSet must be.
    """
    match data.source:
        case "name":
            assert data.name is not None
            load, place = BUILT_IN[data.name].load, None if data.path is None else folder / data.path
            return load(validation_size=data.validation_size, seed=data.seed, folder=place, log=reporter.log)
        case "factory":
            return _from_factory(data, folder, task=task, scratch=scratch, reporter=reporter)
        case "folder":
            from pipeline.data.pictures import load_pictures

            return load_pictures(
                data, folder, task=task, preset=preset, scratch=scratch, cache=cache, reporter=reporter
            )
        case "table":
            from pipeline.data.table_rows import load_table

            return load_table(data, folder, task=task, scratch=scratch, reporter=reporter)
        case unreachable:
            assert_never(unreachable)


def _from_factory(data: Data, folder: Path, *, task: TaskSettings, scratch: Path, reporter: Reporter) -> DataSet:
    assert data.factory is not None
    place = None if data.path is None else folder / data.path
    if place is not None and not place.exists():
        raise DataError(f"data.path {place}: expected a file or folder, found none; it is relative to the recipe")
    arguments = dict(data.arguments)
    if place is not None:
        arguments["path"] = place
    # Without a path the values themselves are compared, wherever they come from.
    covered = [ANY_FILE] if place is None else [place, *all_paths(data.arguments, folder)]
    where = f"factory {data.factory}"

    def read(result: object) -> DataSet:
        if isinstance(result, DataSet):
            if data.classes is not None:
                raise UsageError(f"data.classes: expected none beside the DataSet of {where}, which has its own")
            return result
        from pipeline.data.torch_dataset import read_torch_data

        return read_torch_data(result, data, folder, task=task, where=where, scratch=scratch, reporter=reporter)

    data_set: DataSet = import_factory(data.factory, folder, failure=DataError, covered=covered, then=read)(**arguments)
    return data_set


def outside_digests(data: Data, folder: Path, *, task: TaskSettings) -> dict[str, str]:
    """Digests of what a build reads from outside its run directory to get its data.

    The source of the user's factory; the content of `data.path` and of the files that its arguments name; for a factory
    without a path the values themselves, which takes a call of the factory, because nothing else tells where they come
    from.

    Args:
        data: the recipe's section.
        folder: of the recipe.
        task: settings of the task, which say what targets are.

    Raises:
        UsageError, DataError: as `load_data_set`, where the factory has to be called.
    """
    match data.source:
        case "name":
            return {}  # a built-in set's contents are fixed by checksums in our own source: see `Load`
        case "factory":
            return _factory_digests(data, folder, task=task)
        case "folder":
            from pipeline.data.pictures import folder_digests

            return folder_digests(data, folder)
        case "table":
            from pipeline.data.table_rows import table_digests

            return table_digests(data, folder)
        case unreachable:
            assert_never(unreachable)


def _factory_digests(data: Data, folder: Path, *, task: TaskSettings) -> dict[str, str]:
    """Digests of a factory and its data; without a path the data are read for these alone.

    A stage that runs reads them once more: kept from here to there, they would stay in memory, or on a disk, through
    all of a build whose data did not change.
    """
    assert data.factory is not None
    digests = named_digests({"data.factory": data.factory}, folder)
    if data.path is None:
        with tempfile.TemporaryDirectory(prefix="pipeline-data-") as scratch:
            data_set = _from_factory(data, folder, task=task, scratch=Path(scratch), reporter=Silent())
            return digests | {"data": data_set.digest()}
    place = folder / data.path
    if not place.exists():
        raise DataError(f"data.path {place}: expected a file or folder, found none; it is relative to the recipe")
    digests |= argument_digests("data.arguments", data.arguments, folder)
    if isinstance(data.classes, str):
        digests[f"data.classes {data.classes}"] = digest_file(folder / data.classes)
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return digests | {
        f"data.path {data.path if path == place else path.relative_to(place).as_posix()}": digest_file(path)
        for path in files
    }
