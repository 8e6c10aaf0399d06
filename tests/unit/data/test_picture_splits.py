"""Splits by the hash of content: copies stay together, shares are kept, and every split holds every class."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.data.dataset import SplitName
from pipeline.data.picture_files import Pictures
from pipeline.data.picture_splits import choose_splits, split_by_content
from pipeline.errors import DataError
from tests.reporters import Lines

SHARES: dict[SplitName, float] = {"validation": 0.2, "test": 0.3, "train": 0.5}


def _digests(count: int) -> list[str]:
    return [hashlib.sha256(str(index).encode()).hexdigest() for index in range(count)]


def _pictures(splits: list[SplitName | None], targets: list[int] | None = None) -> Pictures:
    return Pictures(
        files=tuple(f"{index}.png" for index in range(len(splits))),
        splits=tuple(splits),
        targets=None if targets is None else np.array(targets),
        outputs=() if targets is None else ("a", "b"),
    )


def _choose(pictures: Pictures, digests: list[str] | None = None, reporter: Lines | None = None) -> list[SplitName]:
    return choose_splits(
        pictures,
        digests or _digests(len(pictures.files)),
        seed=0,
        shares={"validation": 0.2, "test": 0.3},
        shown="data.folder p",
        reporter=reporter or Lines(),
    )


def test_shares_are_kept_and_a_new_picture_moves_no_other() -> None:
    digests = _digests(3000)
    splits = split_by_content(digests, [], seed=0, shares=SHARES)
    counts = [list(splits.values()).count(name) / 3000 for name in SHARES]
    assert counts == pytest.approx([0.2, 0.3, 0.5], abs=0.03)
    fewer = split_by_content(digests[:1000], [], seed=0, shares=SHARES)
    assert fewer.items() <= splits.items()
    assert split_by_content(digests, [], seed=1, shares=SHARES) != splits


def test_each_class_is_in_each_split_if_it_has_enough_pictures() -> None:
    for seed in range(50):
        groups = [np.array([0, 1, 2]), np.array([3, 4, 5, 6]), np.array([7, 8]), np.array([9])]
        digests = _digests(10)
        splits = split_by_content(digests, groups, seed=seed, shares=SHARES)
        held = [{splits[digests[index]] for index in group} for group in groups]
        assert [len(names) for names in held] == [3, 3, 2, 1]


def test_copies_stay_together_and_train_comes_first() -> None:
    digests = [_digests(1)[0]] * 5
    assert len(split_by_content(digests, [np.arange(5)], seed=0, shares=SHARES)) == 1
    for seed in range(20):
        assert "train" in split_by_content(_digests(2), [], seed=seed, shares=SHARES).values()


def test_given_splits_are_kept() -> None:
    given: list[SplitName | None] = ["test", "train", "validation", "train"]
    assert _choose(_pictures(given)) == given


def test_a_missing_split_is_made_of_train_and_of_what_has_no_split() -> None:
    said = Lines()
    validation: list[SplitName | None] = ["validation"] * 20
    train: list[SplitName | None] = ["train"] * 80
    test: list[SplitName | None] = ["test"] * 20
    chosen = _choose(_pictures([*validation, *train]), reporter=said)
    assert chosen[:20] == ["validation"] * 20
    assert set(chosen[20:]) == {"train", "test"}
    assert said.said[0].startswith("data: split by the hash of each picture's content, with data.seed 0: ")
    chosen = _choose(_pictures([*test, *([None] * 80)]))
    assert chosen[:20] == ["test"] * 20
    assert set(chosen[20:]) == {"train", "validation"}


def test_some_without_a_split_beside_three_given_ones_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.folder p: expected a split for each picture, found none for 1 of 4: 3"):
        _choose(_pictures(["train", "validation", "test", None]))


def test_labels_count_as_groups_and_numbers_do_not() -> None:
    flags = np.zeros((60, 2), np.uint8)
    flags[:3, 1] = 1
    pictures = Pictures(files=tuple(map(str, range(60))), splits=(None,) * 60, targets=flags, outputs=("a", "b"))
    assert set(_choose(pictures)[:3]) == {"train", "validation", "test"}
    numbers = Pictures(files=("1", "2"), splits=(None, None), targets=np.ones((2, 1), np.float32), outputs=("x",))
    assert len(_choose(numbers)) == 2
