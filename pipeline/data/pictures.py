"""A folder of picture files as a data set."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.dataset import DataSet
from pipeline.engine.stage import Reporter
from pipeline.errors import UsageError
from pipeline.recipe.data import Data
from pipeline.recipe.task import TaskSettings


def load_pictures(  # noqa: D103
    data: Data,
    folder: Path,
    *,
    task: TaskSettings,  # noqa: ARG001
    scratch: Path,  # noqa: ARG001
    cache: Path,  # noqa: ARG001
    reporter: Reporter,  # noqa: ARG001
) -> DataSet:
    raise UsageError(f"data.folder {folder / str(data.folder)}: pictures cannot be read yet")


def folder_digests(data: Data, folder: Path) -> dict[str, str]:  # noqa: D103
    raise UsageError(f"data.folder {folder / str(data.folder)}: pictures cannot be read yet")
