"""The names of the outputs of a network for pictures, where the recipe lists them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.picture_files import Pictures, examples
from pipeline.errors import DataError
from pipeline.presets import read_preset
from pipeline.recipe.data import Data
from pipeline.recipe.task import TaskSettings, takes_any_data


def with_classes(
    pictures: Pictures, data: Data, folder: Path, preset: str | None = None, *, task: TaskSettings
) -> Pictures:
    """Give outputs the names, and the order, that the recipe lists; a network that was trained elsewhere has its own.

    Args:
        pictures: pictures with the names that their folders or labels have.
        data: section of the recipe.
        folder: folder of the recipe.
        preset: a published network, whose names count where there are no others; None where the recipe names none.
        task: settings of the task; where the network names its outputs itself, no names are needed.

    Raises:
        DataError: a name of the data is not listed, or there are no names at all.
    """
    if data.classes is None and not pictures.outputs and preset is not None and (labels := read_preset(preset).labels):
        return replace(pictures, outputs=labels)
    outputs, targets = listed_outputs(pictures.outputs, pictures.targets, data, folder, task=task)
    return replace(pictures, outputs=outputs, targets=targets)


def listed_outputs(
    outputs: tuple[str, ...], targets: NDArray[Any] | None, data: Data, folder: Path, *, task: TaskSettings
) -> tuple[tuple[str, ...], NDArray[Any] | None]:
    """Give outputs the names, and the order, that the recipe lists.

    Args:
        outputs: names that the data have; none where there are no targets.
        targets: targets for them, as a split stores them; None where there are none.
        data: section of the recipe.
        folder: folder of the recipe.
        task: settings of the task; where the network names its outputs itself, no names are needed.

    Returns:
        The listed names, or those of the data where none are listed, and the targets for them.

    Raises:
        DataError: a name of the data is not listed, or there are no names at all.
    """
    if data.classes is None:
        if not outputs and not takes_any_data(task):
            raise DataError(
                "data.classes: expected the names of the network's outputs, which nothing else tells without labels; "
                "give a list, or a text file with a name on each line"
            )
        return outputs, targets
    names = data.classes if isinstance(data.classes, tuple) else _read_names(folder / data.classes)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"data.classes: expected each name once, found {twice} twice")
    unknown = [name for name in outputs if name not in set(names)]
    if unknown:
        raise DataError(
            f"data.classes: expected every class of the data among its {len(names)} names, found {len(unknown)} in the "
            f"data alone{examples(unknown)}"
        )
    if targets is not None and targets.dtype.kind == "f" and len(names) > len(outputs):
        absent = [name for name in names if name not in outputs]
        raise DataError(f"data.classes: expected a column of numbers for each name, found none{examples(absent)}")
    places = np.array([names.index(name) for name in outputs], dtype=np.int64)
    return tuple(names), _moved(targets, places, len(names))


def _moved(targets: NDArray[Any] | None, places: NDArray[np.int64], outputs: int) -> NDArray[Any] | None:
    """Targets whose outputs go to other places: class indices, or a column for each output."""
    if targets is None or targets.ndim == 1:
        return None if targets is None else places[targets]
    columns = np.zeros((len(targets), outputs), dtype=targets.dtype)
    columns[:, places] = targets
    return columns


def _read_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"data.classes {path}: expected a text file with a name on each line, found: {error}"
        ) from error
