"""Make the task that belongs to settings or to a name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, assert_never

from pydantic import TypeAdapter

from pipeline.recipe.task import Classification, TaskName, TaskSettings
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.task import Task


def task_of(settings: TaskSettings) -> Task:
    """Make the task that a recipe asks for."""
    match settings:
        case Classification():
            return ClassificationTask(settings=settings)
        case unreachable:
            assert_never(unreachable)


def task_named(name: TaskName, settings: Mapping[str, Any] | None = None) -> Task:
    """Make the task of that name.

    Args:
        name: name of the task.
        settings: the task's section in `serving.json`, without the kind; the defaults if None.
    """
    adapter: TypeAdapter[TaskSettings] = TypeAdapter(TaskSettings)
    return task_of(adapter.validate_python({**(settings or {}), "kind": name}))
