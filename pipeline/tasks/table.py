"""Make the task that belongs to settings or to a name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, assert_never

from pydantic import TypeAdapter, ValidationError

from pipeline._handlers.outputs import OutputSpec
from pipeline.engine.documents import first_problem
from pipeline.errors import DataError
from pipeline.recipe.task import Classification, MultiLabel, Outputs, Regression, TaskName, TaskSettings
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.multi_label.member import MultiLabelTask
from pipeline.tasks.outputs.member import OutputsTask
from pipeline.tasks.regression.member import RegressionTask
from pipeline.tasks.task import Task

_SETTINGS: TypeAdapter[TaskSettings] = TypeAdapter(TaskSettings)


def task_of(settings: TaskSettings, *, outputs: Sequence[OutputSpec] = (), folder: Path | None = None) -> Task:
    """Make the task that a recipe asks for.

    Args:
        settings: section of the recipe.
        outputs: the network's outputs in the task `outputs`; empty in others, and where only data are checked.
        folder: folder of the recipe, where the user's score lies.

    Raises:
        UsageError: a setting does not fit the outputs.
    """
    match settings:
        case Classification():
            return ClassificationTask(settings=settings)
        case MultiLabel():
            return MultiLabelTask(settings=settings)
        case Regression():
            return RegressionTask(settings=settings)
        case Outputs():
            return OutputsTask(settings=settings, outputs=tuple(outputs), folder=folder or Path())
        case unreachable:
            assert_never(unreachable)


def task_named(
    name: TaskName, settings: Mapping[str, Any] | None = None, *, outputs: Sequence[OutputSpec] = ()
) -> Task:
    """Make the task of that name.

    Args:
        name: name of the task.
        settings: the task's section in `serving.json`, without the kind; the defaults if None.
        outputs: the network's outputs in the task `outputs`.

    Raises:
        DataError: there is no such task, or it has other settings.
    """
    try:
        return task_of(_SETTINGS.validate_python({**(settings or {}), "kind": name}), outputs=outputs)
    except ValidationError as error:
        raise DataError(f"task {name}: {first_problem(error)}") from error
