"""What is said of pictures before anything is trained on them: unreadable files, copies, uneven classes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.data.dataset import SplitName
from pipeline.data.picture_files import Pictures, examples
from pipeline.engine.stage import Reporter
from pipeline.errors import DataError

# So many unreadable files are named in the error that ends a build.
_LISTED = 20
# A class counts as rare where the most frequent one has so many times as many pictures.
_UNEVEN = 10


def require_readable(unreadable: Mapping[str, str], place: Path, *, skip: bool, reporter: Reporter) -> None:
    """Name each file that cannot be decoded, and end the build unless the recipe says to leave them out.

    Args:
        unreadable: reasons by path.
        place: folder of the pictures.
        skip: whether they are left out.
        reporter: receives their names where they are left out.

    Raises:
        DataError: there are such files, and they are not left out; the message names them.
    """
    if skip:
        for file, reason in sorted(unreadable.items()):
            reporter.log(f"data: {file} is left out: {reason}")
    elif unreadable:
        listed = "; ".join(f"{file}: {reason}" for file, reason in sorted(unreadable.items())[:_LISTED])
        more = f"; and {len(unreadable) - _LISTED} more" if len(unreadable) > _LISTED else ""
        raise DataError(
            f"{place}: expected files that can be decoded, found {len(unreadable)} that cannot: {listed}{more}; "
            "replace or remove them, or set data.skip_unreadable = true"
        )


def copies(pictures: Pictures, digests: Sequence[str], splits: Sequence[SplitName]) -> Iterator[str]:
    """Name the pictures that stand in several splits, or with several targets.

    Args:
        pictures: pictures of the data set.
        digests: SHA-256 of the content of each.
        splits: split of each.

    Yields:
        A line for each kind of copies that there is.
    """
    alike: dict[str, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        alike[digest].append(index)
    groups = [indices for indices in alike.values() if len(indices) > 1]
    across = [indices for indices in groups if len({splits[index] for index in indices}) > 1]
    if across:
        names = [" = ".join(f"{pictures.files[index]} ({splits[index]})" for index in indices) for indices in across]
        yield (
            f"copies of a picture stand in several splits, {len(across)} pictures in all, so that figures are too good"
            f"{examples(names)}"
        )
    if pictures.targets is not None:
        targets = pictures.targets
        unlike = [indices for indices in groups if (targets[indices] != targets[indices[0]]).any()]
        if unlike:
            names = [" = ".join(pictures.files[index] for index in indices) for indices in unlike]
            yield f"copies of a picture have several targets, {len(unlike)} pictures in all{examples(names)}"
    spare = sum(len(indices) - 1 for indices in groups)
    if spare:
        yield f"copies of other pictures, byte for byte: {spare} of {len(digests)}"


def imbalance(pictures: Pictures) -> Iterator[str]:
    """Name the classes, or labels, that are rare beside the most frequent one.

    Args:
        pictures: pictures of the data set.

    Yields:
        A line if there are any.
    """
    targets = pictures.targets
    if targets is None or targets.dtype.kind == "f":
        return
    counts = (
        np.bincount(targets, minlength=len(pictures.outputs)) if targets.ndim == 1 else targets.sum(axis=0, dtype=int)
    )
    most = int(counts.argmax())
    rare = [int(index) for index in np.argsort(counts, kind="stable") if 0 < counts[index] * _UNEVEN < counts[most]]
    if rare:
        names = [f"{pictures.outputs[index]} ({counts[index]})" for index in rare]
        yield (
            f"uneven classes: beside {counts[most]} pictures of {pictures.outputs[most]} there are less than a tenth of"
            f"{examples(names)}"
        )
