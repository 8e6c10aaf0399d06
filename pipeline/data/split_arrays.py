"""Arrays of a whole data set, cut into its splits: in memory, or in files where they are too large for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SPLITS, Split, SplitName, read_split
from pipeline.data.picture_splits import hash_place
from pipeline.engine.array_files import Shape, create_arrays, fits_in_memory, pieces


def split_arrays(
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[Any] | None,
    *,
    splits: Sequence[SplitName],
    digests: Sequence[str],
    seed: int,
    scratch: Path,
) -> dict[SplitName, Split]:
    """Cut arrays into splits, each in an order that depends on the content of its examples alone.

    Args:
        inputs: raw values (N, *shape) by input name, which may lie in files.
        labels: targets (N, ...); None where there are none.
        splits: split of each example.
        digests: digest of the content of each example.
        seed: seed of the order. A split that is sorted by class would begin with its first class.
        scratch: folder for the files of splits that are too large for memory.

    Returns:
        The splits by name; one without examples is among them.
    """
    places = np.array([hash_place(digest, seed) for digest in digests])
    names = np.array(splits)
    orders = {name: np.flatnonzero(names == name) for name in SPLITS}
    orders = {name: rows[np.argsort(places[rows], kind="stable")] for name, rows in orders.items()}
    if fits_in_memory(sum(array.nbytes for array in inputs.values())):
        whole = Split(inputs=dict(inputs), labels=labels)
        return {name: whole.take(rows) for name, rows in orders.items()}
    return {name: _write(scratch / f"{name}.safetensors", inputs, labels, rows) for name, rows in orders.items()}


def _write(
    path: Path, inputs: Mapping[str, NDArray[Any]], labels: NDArray[Any] | None, rows: NDArray[np.intp]
) -> Split:
    """Write a split in pieces; what an interrupted run left there is replaced."""
    sources = {f"input.{name}": array for name, array in inputs.items()}
    if labels is not None:
        sources["labels"] = labels
    shapes: dict[str, Shape] = {key: (array.dtype, (len(rows), *array.shape[1:])) for key, array in sources.items()}
    path.unlink(missing_ok=True)
    arrays = create_arrays(path, shapes)
    for key, array in sources.items():
        for piece in pieces(arrays[key]):
            arrays[key][piece] = array[rows[piece]]
    del arrays
    return replace(read_split(path), file=path)
