"""Which picture files a folder holds, to which split each belongs, and what its target is.

A folder is laid out in one of these ways:

- a sub-folder for each class, with the pictures of that class anywhere below it;
- `train`, `val` and `test` (or `validation`, `valid`), with one of the other layouts in each;
- pictures, and a CSV file with a line for each (`data.labels`);
- pictures alone, which have no targets.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SplitName
from pipeline.data.picture_labels import RECIPE_KEYS, Keys, read_labels
from pipeline.errors import DataError
from pipeline.recipe.task import TaskSettings

SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# Endings of picture files, those that cannot be decoded among them: such a file is named, and not passed over.
_PICTURES = frozenset(
    f".{ending}"
    for ending in (
        *("apng", "avif", "bmp", "gif", "heic", "heif", "jfif", "jpe", "jpeg", "jpg", "jxl"),
        *("png", "ppm", "tga", "tif", "tiff", "webp"),
    )
)
_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """The picture files of a data set.

    Args:
        files: paths of the files, relative to the folder, with forward slashes; each once.
        splits: the split that each file was given to; None for those that are yet to be split.
        targets: targets as a split stores them, (N, ...); None where there are none.
        outputs: names of the network's outputs; empty where there are no targets.
        columns: columns of the file of labels that hold the targets; empty where there is none.
        remarks: what was left out, in words.
    """

    files: tuple[str, ...]
    splits: tuple[SplitName | None, ...]
    targets: NDArray[Any] | None
    outputs: tuple[str, ...]
    columns: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def take(self, indices: Sequence[int]) -> Pictures:
        """Return some of the pictures, in the order of their indices."""
        return replace(
            self,
            files=tuple(self.files[index] for index in indices),
            splits=tuple(self.splits[index] for index in indices),
            targets=None if self.targets is None else self.targets[np.array(indices, dtype=np.int64)],
        )


def find_pictures(
    folder: Path,
    labels: str | None,
    task: TaskSettings,
    *,
    targets: Sequence[str] = (),
    shown: str,
    keys: Keys = RECIPE_KEYS,
) -> Pictures:
    """Find the pictures of a folder, in the order of their names.

    Args:
        folder: the folder.
        labels: file of labels, relative to the folder; None where the layout says the classes, or nothing does.
        task: settings of the task, which say how labels are read.
        targets: columns of targets in the file of labels; all that are left if none are named.
        shown: name of the folder, for messages.
        keys: what named the file of labels and its columns, for messages.

    Raises:
        DataError: there are no pictures, they are laid out in two ways at once, or the labels do not fit.
    """
    if not folder.is_dir():
        raise DataError(f"data.folder {folder}: expected a folder, found none; it is relative to the recipe")
    names, others = walk(folder)
    if labels is not None:
        return _with_labels(folder, labels, names, task, targets, keys)
    if not names:
        raise DataError(f"{shown}: expected picture files, found none{examples(others)}")
    remarks = [f"files that are no pictures are left out, {len(others)} in all{examples(others)}"] if others else []
    splits = _given_splits(names, shown)
    inner = [name.partition("/")[2] if split else name for name, split in zip(names, splits, strict=True)]
    classes = [name.partition("/")[0] if "/" in name else None for name in inner]
    loose = [name for name, label in zip(names, classes, strict=True) if label is None]
    if len(loose) == len(names):
        if tables := [other for other in others if other.endswith(".csv") and "/" not in other]:
            raise DataError(
                f"{shown}: expected pictures in a sub-folder for each class, found them beside {tables[0]}; to take "
                f'labels from it, set data.labels = "{tables[0]}"; for pictures without labels, move it elsewhere'
            )
        return Pictures(files=names, splits=splits, targets=None, outputs=(), remarks=tuple(remarks))
    if loose:
        raise DataError(
            f"{shown}: expected every picture in a sub-folder for its class, found {len(loose)} beside the sub-folders"
            f"{examples(loose)}; move or remove them, or name a file of labels in data.labels"
        )
    if task.kind != "classification":
        raise DataError(
            f"{shown}: expected a file of labels for {task.kind}, found sub-folders, which name one class for each "
            "picture; set data.labels to a CSV file in the folder"
        )
    outputs = tuple(sorted({label for label in classes if label is not None}))
    positions = {label: position for position, label in enumerate(outputs)}
    return Pictures(
        files=names,
        splits=splits,
        targets=np.array([positions[label] for label in classes if label is not None], dtype=np.int64),
        outputs=outputs,
        remarks=tuple(remarks),
    )


def _is_hidden(name: str) -> bool:
    """Whether a file or one of its folders is hidden: `walk` passes over such files."""
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _with_labels(
    folder: Path, labels: str, names: tuple[str, ...], task: TaskSettings, targets: Sequence[str], keys: Keys
) -> Pictures:
    lines = read_labels(folder / labels, task, names=SPLIT_FOLDERS, targets=targets, keys=keys)
    known = set(names)
    # Tables of pictures often leave the ending out.
    stems = Counter(name.rpartition(".")[0] for name in names)
    full = {name.rpartition(".")[0]: name for name in names if stems[name.rpartition(".")[0]] == 1}
    files = tuple(name if name in known else full.get(name, name) for name in lines.files)
    # A file that the labels name is taken whatever its ending.
    absent = [name for name in files if name not in known and (_is_hidden(name) or not (folder / name).is_file())]
    if absent:
        raise DataError(
            f"{folder / labels}: expected paths of pictures, relative to {folder}, found {len(absent)} without a file"
            f"{examples(absent)}"
        )
    twice = sorted({name for name, times in Counter(files).items() if times > 1})
    if twice:
        raise DataError(f"{folder / labels}: expected each picture once, found {len(twice)} twice{examples(twice)}")
    unlabelled = sorted(known - set(files))
    remarks = (f"pictures without a line in {labels} are left out, {len(unlabelled)} in all{examples(unlabelled)}",)
    return Pictures(
        files=files,
        splits=lines.splits if any(lines.splits) else _given_splits(files, labels),
        targets=lines.targets,
        outputs=lines.outputs,
        columns=lines.columns,
        remarks=remarks if unlabelled else (),
    )


def _given_splits(names: Sequence[str], shown: str) -> tuple[SplitName | None, ...]:
    """The split that each file's first folder names; None for all of them where no folder is named like a split."""
    tops = sorted({name.partition("/")[0] for name in names if "/" in name})
    named = {top: SPLIT_FOLDERS[top.lower()] for top in tops if top.lower() in SPLIT_FOLDERS}
    if not named:
        return (None,) * len(names)
    beside = [name for name in names if name.partition("/")[0] not in named]
    if beside:
        raise DataError(
            f"{shown}: expected nothing but splits beside {next(iter(named))}, found {len(beside)} pictures"
            f"{examples(beside)}; move them into the splits, or the splits elsewhere"
        )
    for split in dict.fromkeys(named.values()):
        same = [top for top, name in named.items() if name == split]
        if len(same) > 1:
            raise DataError(f"{shown}: expected one folder for the {split} split, found {' and '.join(same)}")
    if "train" not in named.values():
        raise DataError(f"{shown}: expected a folder train beside {', '.join(named)}, found none")
    return tuple(named[name.partition("/")[0]] for name in names)


def walk(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the paths of all pictures below a folder and of all other files, sorted; hidden ones are passed over."""
    pictures: list[str] = []
    others: list[str] = []
    visited = set[str]()
    # Links are followed, because large sets are often put together by links; a circle ends where it closes.
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        folders[:] = [] if real in visited else sorted(name for name in folders if not name.startswith("."))
        if real in visited:
            continue
        visited.add(real)
        inner = Path(place).relative_to(folder).as_posix()
        for name in files:
            if name.startswith("."):
                continue
            path = name if inner == "." else f"{inner}/{name}"
            (pictures if Path(name).suffix.lower() in _PICTURES else others).append(path)
    return tuple(sorted(pictures)), tuple(sorted(others))


def examples(names: Sequence[str]) -> str:
    """Return the first of some names, as the end of a clause; empty where there are none."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f": {', '.join(names[:_NAMED])}{more}" if names else ""
