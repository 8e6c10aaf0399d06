"""Split pictures by the hash of their content, so that copies of one picture never sit on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.dataset import SPLITS, SplitName
from pipeline.data.picture_files import Pictures, examples
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError

_SCALE = 2.0**64


def hash_place(digest: str, seed: int) -> float:
    """Where a content lies between 0 and 1, the same whatever other pictures there are.

    Args:
        digest: SHA-256 of the content.
        seed: another seed gives other places.
    """
    return int.from_bytes(hashlib.sha256(f"{seed} {digest}".encode()).digest()[:8]) / _SCALE


def choose_splits(
    pictures: Pictures,
    digests: Sequence[str],
    *,
    seed: int,
    shares: Mapping[SplitName, float],
    shown: str,
    reporter: Reporter,
) -> list[SplitName]:
    """Return the split of each picture: the one that it was given to, or else by the hash of its content.

    Where all pictures were given to splits and one split got none, it is made of the pictures given to train.

    Args:
        pictures: pictures with the splits that they were given to.
        digests: SHA-256 of the content of each picture.
        seed: another seed gives another split.
        shares: shares of the validation and the test split among the pictures that are split.
        shown: name of the folder, for messages.
        reporter: receives what was split.

    Raises:
        DataError: some pictures were given to each split and others to none.
    """
    given = set(pictures.splits) - {None}
    missing = [name for name in SPLITS if name not in given]
    open_rows = [index for index, split in enumerate(pictures.splits) if split is None]
    if open_rows and not missing:
        raise DataError(
            f"{shown}: expected a split for each picture, found none for {len(open_rows)} of {len(digests)}"
            f"{examples([pictures.files[index] for index in open_rows])}"
        )
    if missing and not open_rows:
        open_rows = [index for index, split in enumerate(pictures.splits) if split == "train"]
    if not open_rows:
        return [split for split in pictures.splits if split is not None]
    held_out = {name: share for name, share in shares.items() if name in missing}
    chosen = split_by_content(
        [digests[index] for index in open_rows],
        [] if pictures.targets is None else target_groups(pictures.targets[np.array(open_rows, dtype=np.int64)]),
        seed=seed,
        shares={**held_out, "train": 1 - sum(held_out.values())},
    )
    splits = list(pictures.splits)
    for index in open_rows:
        splits[index] = chosen[digests[index]]
    names = ", ".join(f"{splits.count(name)} {name}" for name in SPLITS)
    reporter.log(f"data: split by the hash of each picture's content, with data.seed {seed}: {names}")
    return [split for split in splits if split is not None]


def target_groups(targets: NDArray[Any]) -> list[NDArray[np.int64]]:
    """The indices of the examples of each class, or with each label; none where targets are numbers.

    Args:
        targets: targets as a split stores them, (N,) or (N, K).
    """
    if targets.dtype.kind == "f":
        return []
    if targets.ndim == 1:
        return [np.flatnonzero(targets == index) for index in np.unique(targets)]
    return [np.flatnonzero(targets[:, index]) for index in range(targets.shape[1])]


def split_by_content(
    digests: Sequence[str], groups: Sequence[NDArray[np.int64]], *, seed: int, shares: Mapping[SplitName, float]
) -> dict[str, SplitName]:
    """Choose a split for each content by its hash; a picture that is added later moves no other one.

    A group that would be absent from a split gets a member there, if it has enough different contents: the one nearest
    to that split moves there from the split that has most of the group.

    Args:
        digests: SHA-256 of the content of each picture.
        groups: indices of the pictures of each group that every split should hold, such as a class.
        seed: another seed gives another split.
        shares: share of the contents that each split gets, for the splits to be made.

    Returns:
        The split of each content, by its digest.
    """
    places = {digest: hash_place(digest, seed) for digest in digests}
    ends = np.cumsum([shares[split] for split in shares])
    names = list(shares)
    splits = {
        digest: names[min(int(np.searchsorted(ends, place, side="right")), len(names) - 1)]
        for digest, place in places.items()
    }
    bounds = dict(zip(names, zip([0.0, *ends[:-1]], ends, strict=True), strict=True))
    for group in (np.arange(len(digests)), *groups):
        members = sorted({digests[index] for index in group})
        for split in sorted(names, key=SPLITS.index):
            _require_member(split, members, splits, places, bounds)
    return splits


def _require_member(
    split: SplitName,
    members: Sequence[str],
    splits: dict[str, SplitName],
    places: Mapping[str, float],
    bounds: Mapping[SplitName, tuple[float, float]],
) -> None:
    """Move one of some contents to a split that has none of them, from a split that keeps at least one."""
    counts = {name: sum(splits[digest] == name for digest in members) for name in bounds}
    richest = max(counts, key=lambda name: counts[name])
    if counts[split] or counts[richest] < 2:
        return
    low, high = bounds[split]
    candidates = [digest for digest in members if splits[digest] == richest]
    splits[min(candidates, key=lambda digest: max(low - places[digest], places[digest] - high))] = split
