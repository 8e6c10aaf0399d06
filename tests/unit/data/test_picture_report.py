"""What is said of pictures before anything is trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.dataset import SplitName
from pipeline.data.picture_files import Pictures
from pipeline.data.picture_report import copies, imbalance, require_readable
from pipeline.errors import DataError
from tests.reporters import Lines


def _pictures(targets: Any, outputs: tuple[str, ...] = ("cat", "dog", "eel")) -> Pictures:
    count = 4 if targets is None else len(targets)
    return Pictures(
        files=tuple(f"{index}.png" for index in range(count)),
        splits=(None,) * count,
        targets=targets,
        outputs=outputs,
    )


def test_copies_across_splits_and_with_several_targets_are_named() -> None:
    splits: list[SplitName] = ["train", "test", "train", "train"]
    across = (
        "copies of a picture stand in several splits, 1 pictures in all, so that figures are too good: "
        "0.png (train) = 1.png (test)"
    )
    assert list(copies(_pictures(np.array([0, 0, 1, 2])), ["a", "a", "b", "b"], splits)) == [
        across,
        "copies of a picture have several targets, 1 pictures in all: 2.png = 3.png",
        "copies of other pictures, byte for byte: 2 of 4",
    ]
    assert list(copies(_pictures(None), ["a", "b", "c", "d"], splits)) == []


def test_rare_classes_are_named_with_their_counts() -> None:
    targets = np.repeat([0, 1, 2], [500, 49, 50])
    assert list(imbalance(_pictures(targets))) == [
        "uneven classes: beside 500 pictures of cat there are less than a tenth of: dog (49)"
    ]
    flags = np.ones((50, 2), np.uint8)
    flags[3:, 1] = 0
    assert "less than a tenth of: dog (3)" in next(imbalance(_pictures(flags, ("cat", "dog"))))
    assert not list(imbalance(_pictures(np.repeat([0, 1, 2], [500, 50, 51]))))
    assert not list(imbalance(_pictures(np.ones((4, 1), np.float32), ("x",))))
    assert not list(imbalance(_pictures(None)))


def test_unreadable_files_end_the_build_or_are_named() -> None:
    broken = {f"{index:02}.png": "no picture" for index in range(25)}
    with pytest.raises(DataError, match=r"found 25 that cannot: 00\.png: no picture; .*19\.png.*; and 5 more; replace"):
        require_readable(broken, Path("p"), skip=False, reporter=Lines())
    said = Lines()
    require_readable(broken, Path("p"), skip=True, reporter=said)
    assert said.said[3] == "data: 03.png is left out: no picture"
    require_readable({}, Path("p"), skip=False, reporter=said)
    assert len(said.said) == 25
