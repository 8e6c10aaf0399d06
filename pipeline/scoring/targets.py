"""Targets of the examples of a source, where the data bring them: in arrays, in a column, or as names of folders."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.description import Serving
from pipeline.data.target_columns import read_targets
from pipeline.errors import DataError, UsageError
from pipeline.recipe.task import judged_by_labels
from pipeline.scoring.arrays import ArraysSource, read_rows
from pipeline.scoring.folder import PARTS, FolderSource
from pipeline.scoring.sources import Source
from pipeline.scoring.table import TableSource
from pipeline.tasks.task import Task


def targets_of(source: Source, serving: Serving, task: Task, columns: Sequence[str]) -> NDArray[Any] | None:
    """Return the targets of all examples as a split stores them, (N, ...); None where there are none to judge by.

    Args:
        source: data.
        serving: description of the archive that answers.
        task: its task.
        columns: columns that hold the targets; of a table, none to look for none.

    Raises:
        UsageError: columns are named for data that have none.
        DataError: targets are not those of the task, or not of this archive's labels.
    """
    in_columns = isinstance(source, TableSource) or (isinstance(source, FolderSource) and source.targets is not None)
    if columns and not in_columns:
        raise UsageError(
            f"--target: expected a table (.csv, .parquet) or a folder with labels.csv, found other data; leave "
            f"{columns[0]} out"
        )
    if not judged_by_labels(task.settings):
        return None
    match source:
        case ArraysSource(labels=place) if place is not None:
            where, targets = str(source.path), read_rows(place)
            if len(targets) != source.total:
                raise DataError(f"{where}: expected {source.total} labels, one for each row, found {len(targets)}")
        case TableSource() if columns:
            where = str(source.path)
            cells = {name: source.column(name) for name in columns}
            values, names = read_targets(cells, task.settings, where=where)
            targets = _of_labels(values, names, columns, serving, where=where)
        case FolderSource(targets=listed) if listed is not None:
            where = listed.where
            targets = _of_labels(listed.values, listed.outputs, listed.columns, serving, where=where)
        case FolderSource():
            where, classes = str(source.root), _classes(source.names, serving.labels)
            if classes is None or task.name != "classification":
                return None
            targets = classes
        case _:
            return None
    task.check_targets(where, targets, exactly=True)
    task.check_values(where, targets, outputs=len(serving.labels))
    return targets


def _classes(names: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the class of each picture by the folder that it lies in; None where a folder is no class."""
    indices = {label: index for index, label in enumerate(labels)}
    classes = []
    for name in names:
        folders = name.split("/")[:-1]
        if folders and folders[0] not in indices and folders[0].lower() in PARTS:
            del folders[0]
        if not folders or folders[0] not in indices:
            return None
        classes.append(indices[folders[0]])
    return np.array(classes, dtype=np.int64)


def _of_labels(
    targets: NDArray[Any], names: tuple[str, ...], columns: Sequence[str], serving: Serving, *, where: str
) -> NDArray[Any]:
    """Return targets whose outputs are the archive's labels, in their order.

    Args:
        targets: targets as they were read, (N, ...).
        names: names of the outputs that they are of.
        columns: names of the columns that they were read from.
        serving: description of the archive that answers.
        where: name of the file, for messages.

    Raises:
        DataError: the archive has other labels.
    """
    if names == serving.labels:
        return targets
    if targets.ndim == 2 and sorted(names) == sorted(serving.labels):
        return targets[:, [names.index(label) for label in serving.labels]]
    unknown = [name for name in names if name not in serving.labels]
    # A table may lack classes that the archive knows, and have them in another order; numbers it has for each output.
    if unknown or targets.dtype.kind == "f":
        raise DataError(
            f"{where}: expected targets of {', '.join(serving.labels[:12])}, found {', '.join(unknown or names)}"
        )
    if targets.ndim == 2 and names == tuple(columns) and len(names) < len(serving.labels):
        missing = [label for label in serving.labels if label not in names]
        raise DataError(
            f"{where}: expected a column of targets for each label, found none for {', '.join(missing[:12])}"
        )
    places = np.array([serving.labels.index(name) for name in names], dtype=np.int64)
    if targets.ndim == 1:
        classes: NDArray[np.int64] = places[targets]
        return classes
    known = np.zeros((len(targets), len(serving.labels)), dtype=targets.dtype)
    known[:, places] = targets
    return known
