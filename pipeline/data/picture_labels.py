"""A CSV file with a line for each picture: its file, its targets, and perhaps its split."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from numpy.typing import NDArray

from pipeline.data.dataset import SplitName
from pipeline.data.table_cells import place_of, separator_of
from pipeline.data.target_columns import read_targets
from pipeline.errors import DataError
from pipeline.recipe.task import TaskSettings

_FILE, _SPLIT = "file", "split"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """What named a file of labels and its columns, for messages.

    Args:
        labels: stands in front of the file's path.
        targets: stands in front of the name of a column.
    """

    labels: str = "data.labels "
    targets: str = "data.targets"


RECIPE_KEYS = Keys()


@dataclass(frozen=True, kw_only=True)
class Lines:
    """The lines of a file of labels, in its order.

    Args:
        files: paths of the pictures, relative to their folder, with forward slashes; each once.
        splits: the split that each line names; None where the file says nothing.
        targets: targets as a split stores them, (N, ...).
        outputs: names of the network's outputs.
        columns: names of the columns of targets.
    """

    files: tuple[str, ...]
    splits: tuple[SplitName | None, ...]
    targets: NDArray[Any]
    outputs: tuple[str, ...]
    columns: tuple[str, ...]


def read_labels(
    path: Path,
    task: TaskSettings,
    *,
    names: Mapping[str, SplitName],
    targets: Sequence[str] = (),
    keys: Keys = RECIPE_KEYS,
) -> Lines:
    """Read a file of labels.

    Args:
        path: CSV file (UTF-8) with a header. Column `file`, or else the first, holds paths relative to the file's
            folder; a column `split` says where each picture belongs.
        task: settings of the task, which say how targets are read.
        names: splits by the words that mean them.
        targets: columns of targets; all that are left if none are named.
        keys: what named the file and the columns, for messages.

    Raises:
        DataError: the file cannot be read, a path stands there twice or leads out of the folder, or a cell is no value
            of the task.
    """
    columns = _columns(path, keys.labels)
    file_column = _FILE if _FILE in columns else next(iter(columns))
    files = tuple(PurePosixPath(cell.strip().replace("\\", "/")).as_posix() for cell in columns[file_column])
    rows: dict[str, int] = {}
    for row, file in enumerate(files):
        if file == "." or PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise DataError(f"{path}: {place_of(row, file_column)}: expected a path in the folder, found {file!r}")
        if file in rows:
            raise DataError(
                f"{path}: {place_of(row, file_column)}: expected each picture once, found {file} in row "
                f"{rows[file] + 2} too"
            )
        rows[file] = row
    unknown = [name for name in targets if name not in columns]
    if unknown:
        raise DataError(f"{keys.targets} {unknown[0]}: expected a column of {path}, found {', '.join(columns)}")
    chosen = tuple(targets or (name for name in columns if name not in (file_column, _SPLIT)))
    values, outputs = read_targets({name: columns[name] for name in chosen}, task, where=str(path))
    splits: tuple[SplitName | None, ...] = (None,) * len(files)
    if _SPLIT in columns:
        splits = tuple(_split(cell, path, row, names) for row, cell in enumerate(columns[_SPLIT]))
    return Lines(files=files, splits=splits, targets=values, outputs=outputs, columns=chosen)


def _split(cell: str, path: Path, row: int, names: Mapping[str, SplitName]) -> SplitName | None:
    word = cell.strip().lower()
    if word and word not in names:
        raise DataError(f"{path}: {place_of(row, _SPLIT)}: expected one of {', '.join(names)}, found {cell!r}")
    return names.get(word)


def _columns(path: Path, key: str) -> dict[str, list[str]]:
    """The cells of each column below the header, by its name."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = stream.readline()
            stream.seek(0)
            lines = [line for line in csv.reader(stream, delimiter=separator_of(header), strict=True) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{key}{path}: expected a CSV file in UTF-8, found: {reason}") from error
    if len(lines) < 2:
        raise DataError(f"{key}{path}: expected a header and a line for each picture, found {len(lines)} lines")
    names = [name.strip() for name in lines[0]]
    if len(names) < 2 or len(set(names)) != len(names) or not all(names):
        raise DataError(
            f"{key}{path}: expected a header with a column of files and columns of targets, each with a name of "
            f"its own, found {', '.join(names)}"
        )
    for row, line in enumerate(lines[1:]):
        if len(line) != len(names):
            raise DataError(
                f"{key}{path}: row {row + 2}: expected {len(names)} cells, as in the header, found {len(line)}"
            )
    return {name: [line[index] for line in lines[1:]] for index, name in enumerate(names)}
