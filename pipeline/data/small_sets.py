"""Two data sets that are made here, so that something can be trained in a second and without any file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, Split
from pipeline.errors import DataError

# Five rows to learn from and two to be asked, in two classes that a line tells apart (Raschka, "PyTorch in One Hour").
_TOY_TRAIN = ((-1.2, 3.1), (-0.9, 2.9), (-0.5, 2.6), (2.3, -1.1), (2.7, -1.5))
_TOY_LABELS = (0, 0, 0, 1, 1)
_TOY_TEST = ((-0.8, 2.8), (2.6, -1.6))
_TOY_TEST_LABELS = (0, 1)
# Nothing may be selected on rows that were learned from: validation has rows beside them, so far off in each feature.
_TOY_STEP = 0.1

_BLOB_FEATURES, _BLOB_CLASSES = 50, 3
_BLOB_ROWS = {"train": 3000, "validation": 1000, "test": 1000}
# Distance of the centres from the origin, in standard deviations of a blob: some rows lie nearer to another centre.
_BLOB_DISTANCE = 2.0


def load_toy(
    *, validation_size: int, seed: int, folder: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> DataSet:
    """Two features, two classes, five rows to train on; the arguments are as for other data sets, and change nothing.

    Raises:
        DataError: a folder is given, of which nothing is read.
    """
    del validation_size, seed, log
    _require_no_folder("toy", folder)
    rows, labels = np.array(_TOY_TRAIN, dtype=np.float32), np.array(_TOY_LABELS)
    return _of_features(
        "toy",
        classes=("0", "1"),
        train=Split(inputs={"features": rows}, labels=labels),
        validation=Split(inputs={"features": rows + np.float32(_TOY_STEP)}, labels=labels),
        test=Split(inputs={"features": np.array(_TOY_TEST, dtype=np.float32)}, labels=np.array(_TOY_TEST_LABELS)),
    )


def load_blobs(
    *, validation_size: int, seed: int, folder: Path | None = None, log: Callable[[str], None] = lambda _: None
) -> DataSet:
    """Normally distributed rows of 50 features around three centres: 3,000 to train on, 1,000 and 1,000.

    Args:
        validation_size: as for other data sets; it changes nothing.
        seed: seed of the rows; the centres are always the same.
        folder: expected to be None.
        log: as for other data sets.

    Raises:
        DataError: a folder is given, of which nothing is read.
    """
    del validation_size, log
    _require_no_folder("blobs", folder)
    centres = np.random.default_rng(0).standard_normal((_BLOB_CLASSES, _BLOB_FEATURES))
    centres *= _BLOB_DISTANCE / np.linalg.norm(centres, axis=1, keepdims=True)
    generator = np.random.default_rng([seed, 1])
    splits = {}
    for name, count in _BLOB_ROWS.items():
        labels = generator.integers(0, _BLOB_CLASSES, count)
        rows: NDArray[np.float32] = (centres[labels] + generator.standard_normal((count, _BLOB_FEATURES))).astype(
            np.float32
        )
        splits[name] = Split(inputs={"features": rows}, labels=labels)
    return _of_features("blobs", classes=("a", "b", "c"), **splits)


def _of_features(name: str, *, classes: tuple[str, ...], train: Split, validation: Split, test: Split) -> DataSet:
    width = train.inputs["features"].shape[1]
    spec = InputSpec(name="features", dtype="float32", shape=(width,), low=-np.inf, high=np.inf)
    return DataSet(name=name, train=train, validation=validation, test=test, classes=classes, inputs=(spec,))


def _require_no_folder(name: str, folder: Path | None) -> None:
    if folder is not None:
        raise DataError(f"data.path {folder}: expected none, because {name} is made and not read; leave it out")
