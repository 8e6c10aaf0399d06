"""A whole data set cut into splits: what the data say counts, the rest follows from the content."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.data.dataset import SPLITS, SplitName
from pipeline.data.split_arrays import copies, open_splits, split_arrays
from pipeline.errors import DataError

DIGESTS = [f"{row:032x}" for row in range(200)]
SHARES: dict[SplitName, float] = {"validation": 0.2, "test": 0.3}


def choose(given: Sequence[SplitName | None], digests: Sequence[str] = DIGESTS, *, seed: int = 0) -> list[SplitName]:
    return open_splits(given, digests, None, seed=seed, shares=SHARES, where="rows.csv")


def test_shares_are_met_on_average_and_another_seed_splits_otherwise() -> None:
    splits = choose([None] * 200)
    assert 25 <= splits.count("validation") <= 55
    assert 40 <= splits.count("test") <= 80
    assert choose([None] * 200) == splits
    assert choose([None] * 200, seed=1) != splits


def test_what_the_data_say_counts() -> None:
    given: list[SplitName] = [SPLITS[row % 3] for row in range(200)]
    assert choose(given) == given
    without_validation: list[SplitName] = ["test" if row % 2 else "train" for row in range(200)]
    splits = choose(without_validation)
    assert [split == "test" for split in splits] == [row % 2 == 1 for row in range(200)]
    assert 5 < splits.count("validation") < 40


def test_a_class_of_few_examples_is_in_every_split() -> None:
    labels = np.zeros(200, dtype=np.int64)
    labels[:3] = 1
    splits = open_splits([None] * 200, DIGESTS, labels, seed=0, shares=SHARES, where="rows.csv")
    assert sorted(splits[:3]) == sorted(SPLITS)


def test_a_split_without_examples_ends_the_build() -> None:
    with pytest.raises(DataError, match=r"rows\.csv: expected examples for train, validation and test, found 2 train"):
        choose([None] * 2, ["a", "a"])


def test_copies_are_counted_also_across_splits() -> None:
    splits: list[SplitName] = ["train", "train", "validation", "test", "test"]
    assert copies(["a", "b", "c", "d", "e"], splits, what="rows are copies") == []
    assert copies(["a", "a", "b", "c", "d"], splits, what="rows are copies") == ["1 of 5 rows are copies"]
    assert copies(["a", "b", "a", "b", "b"], splits, what="rows are copies") == [
        "3 of 5 rows are copies; 1 of validation and 2 of test also stand in train, so that figures are too good"
    ]


@pytest.mark.parametrize("labelled", [True, False])
def test_files_hold_what_memory_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: bool) -> None:
    inputs: dict[str, NDArray[Any]] = {
        "x": np.arange(600, dtype=np.float32).reshape(200, 3),
        "y": np.arange(200, dtype=np.int64),
    }
    labels = np.arange(200) % 7 if labelled else None
    splits = choose([None] * 200)

    def cut() -> dict[SplitName, str]:
        parts = split_arrays(inputs, labels, splits=splits, digests=DIGESTS, seed=0, scratch=tmp_path)
        assert sum(map(len, parts.values())) == 200
        return {name: part.digest() for name, part in parts.items()}

    in_memory = cut()
    monkeypatch.setattr("pipeline.data.split_arrays.fits_in_memory", lambda _: False)
    assert cut() == in_memory
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(f"{name}.safetensors" for name in SPLITS)


def test_the_order_follows_from_the_content_and_not_from_the_file() -> None:
    inputs = {"x": np.arange(200, dtype=np.float32)}
    back = {"x": inputs["x"][::-1]}
    splits = choose([None] * 200)
    one = split_arrays(inputs, None, splits=splits, digests=DIGESTS, seed=0, scratch=Path())
    other = split_arrays(back, None, splits=splits[::-1], digests=DIGESTS[::-1], seed=0, scratch=Path())
    assert [one[name].digest() for name in SPLITS] == [other[name].digest() for name in SPLITS]
    assert not (np.diff(one["train"].inputs["x"]) > 0).all()
