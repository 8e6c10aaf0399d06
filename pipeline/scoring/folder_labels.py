"""The file of labels in a folder of pictures: which it names, what is right for each, and which were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pipeline.data.picture_files import find_pictures
from pipeline.data.picture_labels import Keys
from pipeline.recipe.task import TaskSettings
from pipeline.scoring.folder import FolderSource, PictureTargets

LABELS_FILE = "labels.csv"
_KEYS = Keys(labels="", targets="--target")
_TRAINING = "train"


def with_labels(source: FolderSource, task: TaskSettings, columns: Sequence[str]) -> FolderSource:
    """Return the pictures that the file of labels in a folder names, with their targets, read as training reads them.

    Those of training are left out where the file, or the names of the folders, give others to another split.

    Args:
        source: pictures of a folder that holds such a file.
        task: settings of the task, which say how targets are read.
        columns: columns of targets; all beside those of the file and of the split if none are named.

    Raises:
        DataError: the file cannot be read, names a picture that is not there, or a cell is no value of the task.
    """
    root = source.root
    pictures = find_pictures(root, LABELS_FILE, task, targets=columns, shown=str(root), keys=_KEYS)
    assert pictures.targets is not None
    order = sorted(range(len(pictures.files)), key=lambda index: pictures.files[index])
    remarks = [*pictures.remarks]
    if set(pictures.splits) - {None, _TRAINING}:
        # What has no split was given to one by its content, most of it to training.
        order = [index for index in order if pictures.splits[index] not in (None, _TRAINING)]
        if trained := len(pictures.files) - len(order):
            remarks.append(f"left out {trained:,} pictures of training, as {LABELS_FILE} says")
    return replace(
        source,
        names=tuple(pictures.files[index] for index in order),
        notes=(*source.notes, *(f"{root}: {remark}" for remark in remarks)),
        targets=PictureTargets(
            where=str(root / LABELS_FILE),
            values=pictures.targets[np.array(order, dtype=np.int64)],
            outputs=pictures.outputs,
            columns=pictures.columns,
        ),
    )
