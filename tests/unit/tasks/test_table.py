"""The tasks of recipes, of archives and of this package are the same."""

from __future__ import annotations

from typing import cast, get_args

import numpy as np
import pytest

from pipeline._handlers.task_answers import ANSWERS, TASK_NAMES, read_answer
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, TaskName
from pipeline.tasks.table import task_named, task_of


def test_each_task_has_an_answer_a_section_and_a_member() -> None:
    assert TASK_NAMES == get_args(TaskName) == tuple(ANSWERS)
    assert [task_named(name).name for name in get_args(TaskName)] == list(TASK_NAMES)
    assert all(task_of(task_named(name).settings).name == name for name in get_args(TaskName))


def test_settings_of_a_task_are_checked() -> None:
    assert task_named("classification", {}).settings == Classification()
    with pytest.raises(DataError, match=r"task classification: .*tolerance"):
        task_named("classification", {"tolerance": 1})
    with pytest.raises(DataError, match="task juggling: "):
        task_named(cast("TaskName", "juggling"))


def test_an_answer_is_known_by_its_fields() -> None:
    entry = {"label": "boot", "class_id": 9, "probability": 0.9}
    assert read_answer({**entry, "top": [entry], "version": "1"}) == ("classification", {**entry, "top": [entry]})
    with pytest.raises(ValueError, match="expected an answer of classification"):
        read_answer(entry)


def test_scores_and_disagreements_of_labels() -> None:
    task = task_named("classification")
    outputs = np.array([[2, 1], [0, 3], [1, 0]], np.float32)
    assert task.scores(outputs, np.array([0, 0, 0]), activation="none").tolist() == [1, 0, 1]
    assert task.disagreements(outputs, outputs[[1, 1, 0]], activation="none").tolist() == [True, False, False]
