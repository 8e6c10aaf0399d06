"""Two other tasks on the pictures of Fashion-MNIST: how large a garment is, in pixels, and which words fit it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from pipeline import DataSet
from pipeline.data.dataset import Split
from pipeline.data.table import BUILT_IN
from pipeline.models.fashion import FashionCNN
from pipeline.recipe.task import TaskName

# A pixel at least so bright belongs to the garment.
_BRIGHT = 32
# Which classes of Fashion-MNIST each word fits.
_WORDS = {"sleeves": (0, 2, 3, 4, 6), "footwear": (5, 7, 9), "long": (1, 3), "open": (4, 5, 8)}


def sizes() -> DataSet:
    """Pictures with the width and the height of what they show: (N, 2) float32, in pixels."""

    def targets(split: Split) -> NDArray[np.float32]:
        pictures_NHW = split.inputs["image"][:, 0]
        return np.stack([_extent(pictures_NHW.max(axis=axis) >= _BRIGHT) for axis in (1, 2)], axis=1)

    return _data_set("regression", ("width", "height"), targets)


def words() -> DataSet:
    """Pictures with 0 or 1 for each word: (N, 4) uint8."""

    def targets(split: Split) -> NDArray[np.uint8]:
        assert split.labels is not None
        return np.stack([np.isin(split.labels, classes) for classes in _WORDS.values()], axis=1).astype(np.uint8)

    return _data_set("multi-label", tuple(_WORDS), targets)


def network(outputs: int) -> nn.Module:
    """The network of the demo with other outputs."""
    return FashionCNN(classes=outputs, wide=False, dropout=0.0)


def _data_set(task: TaskName, names: Sequence[str], targets: Callable[[Split], NDArray[Any]]) -> DataSet:
    pictures = BUILT_IN["fashion-mnist"].load(validation_size=10_000, seed=0, folder=None, log=print)
    train, validation, test = (
        Split(inputs=split.inputs, labels=targets(split))
        for split in (pictures.train, pictures.validation, pictures.test)
    )
    return replace(
        pictures, name="garments", classes=tuple(names), task=task, train=train, validation=validation, test=test
    )


def _extent(bright_NL: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Length from the first to the last bright line of each picture, 0 where there is none."""
    first_N, last_N = bright_NL.argmax(axis=1), bright_NL.shape[1] - bright_NL[:, ::-1].argmax(axis=1)
    return np.where(bright_NL.any(axis=1), last_N - first_N, 0).astype(np.float32)
