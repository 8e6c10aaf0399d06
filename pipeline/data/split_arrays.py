"""A whole data set cut into its splits, by what the data say or by content; in files if it is too large for memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SPLITS, Split, SplitName, read_split
from pipeline.data.picture_splits import hash_place, split_by_content, target_groups
from pipeline.engine.array_files import Shape, create_arrays, fits_in_memory, pieces
from pipeline.errors import DataError


def open_splits(
    given: Sequence[SplitName | None],
    digests: Sequence[str],
    labels: NDArray[Any] | None,
    *,
    seed: int,
    shares: Mapping[SplitName, float],
    where: str,
) -> list[SplitName]:
    """The split of each example: what the data say, or else by its content, so that copies are in one split.

    Where validation or test is given to none, it is made of the examples that are given to train.

    Args:
        given: split of each example as the data say it; None for all where they say nothing.
        digests: digest of the content of each example.
        labels: targets (N, ...); None where there are none. Every split gets some of each class, if there are enough.
        seed: another seed gives another split.
        shares: shares of validation and test.
        where: name of the data, for messages.

    Raises:
        DataError: a split gets no examples.
    """
    missing = [name for name in SPLITS if name not in given]
    chosen = [index for index, split in enumerate(given) if split is None or (missing and split == "train")]
    held_out = {name: share for name, share in shares.items() if name in missing}
    by_content = split_by_content(
        [digests[index] for index in chosen],
        [] if labels is None else target_groups(labels[np.array(chosen, dtype=np.int64)]),
        seed=seed,
        shares={**held_out, "train": 1 - sum(held_out.values())},
    )
    splits: list[SplitName] = [split or "train" for split in given]
    for index in chosen:
        splits[index] = by_content[digests[index]]
    counts = Counter(splits)
    if len(counts) < len(SPLITS):
        found = ", ".join(f"{counts[name]} {name}" for name in SPLITS)
        raise DataError(
            f"{where}: expected examples for train, validation and test, found {found}; more different ones are needed"
        )
    return splits


def copies(digests: Sequence[str], splits: Sequence[SplitName], *, what: str) -> list[str]:
    """Say how many examples are copies of others, and how many held-out ones also sit in the training split.

    Args:
        digests: digest of the content of each example.
        splits: split of each.
        what: what such examples are, for the line.
    """
    count = len(digests) - len(set(digests))
    if not count:
        return []
    trained = {digest for digest, split in zip(digests, splits, strict=True) if split == "train"}
    across = Counter(
        split for digest, split in zip(digests, splits, strict=True) if split != "train" and digest in trained
    )
    held_out = " and ".join(f"{number} of {split}" for split, number in across.items())
    leak = f"; {held_out} also stand in train, so that figures are too good" if across else ""
    return [f"{count} of {len(digests)} {what}{leak}"]


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
