"""Targets that stand beside examples, in the order of the labels of the archive that is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.description import Serving
from pipeline._handlers.task_answers import TaskName
from pipeline.errors import DataError, UsageError
from pipeline.scoring.folder import FolderSource, PictureTargets
from pipeline.scoring.targets import targets_of
from pipeline.tasks.table import task_named
from tests.served_models import GREY, LABELS, build_archive

REGRESSION = {"tolerance": 1.0}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Serving:
    return build_archive(tmp_path_factory.mktemp("packed"), [GREY]).serving


def folder(values: Any, outputs: tuple[str, ...], columns: tuple[str, ...] = ("kind",)) -> FolderSource:
    listed = PictureTargets(where="labels.csv", values=np.array(values), outputs=outputs, columns=columns)
    names = tuple(f"{number}.png" for number in range(len(values)))
    return FolderSource(root=Path("pictures"), names=names, digest="", notes=(), targets=listed)


def read(source: FolderSource, serving: Serving, task: TaskName, **settings: Any) -> Any:
    targets = targets_of(source, serving, task_named(task, settings), ("kind",))
    assert targets is not None
    return targets.tolist()


def test_classes_are_those_of_the_archive(serving: Serving) -> None:
    assert read(folder([1, 0, 0], ("bag", "sneaker")), serving, "classification") == [4, 1, 1]
    with pytest.raises(DataError, match=r"labels.csv: expected targets of ankle boot, .*, found hat"):
        read(folder([1, 0], ("bag", "hat")), serving, "classification")


def test_labels_of_a_joined_column_may_be_absent_and_columns_of_their_own_may_not(serving: Serving) -> None:
    flags = np.array([[1, 0], [1, 1]], np.uint8)
    assert read(folder(flags, ("bag", "coat")), serving, "multi-label") == [[0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]
    with pytest.raises(DataError, match="expected a column of targets for each label, found none for ankle boot, dre"):
        read(folder(flags, ("bag", "coat"), ("bag", "coat")), serving, "multi-label")


def test_numbers_stand_in_columns_of_any_order(serving: Serving) -> None:
    names = LABELS[::-1]
    values = np.arange(10, dtype=np.float32).reshape(2, 5)
    numbers = read(folder(values, names, names), serving, "regression", **REGRESSION)
    assert numbers == values[:, ::-1].tolist()
    with pytest.raises(DataError, match=r"expected targets of ankle boot, .* found bag, coat"):
        read(folder(values[:, :2], ("bag", "coat"), ("bag", "coat")), serving, "regression", **REGRESSION)


def test_columns_are_named_for_what_has_some(serving: Serving) -> None:
    plain = FolderSource(root=Path("pictures"), names=("a.png",), digest="", notes=())
    with pytest.raises(UsageError, match=r"--target: expected .* or a folder with labels.csv, found other data"):
        targets_of(plain, serving, task_named("classification"), ("kind",))
    assert targets_of(plain, serving, task_named("classification"), ()) is None
