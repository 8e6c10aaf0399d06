"""The two data sets that are made, as the field's teaching material has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.data.dataset import SPLITS
from pipeline.data.small_sets import load_blobs, load_toy
from pipeline.errors import DataError


def test_toy_has_five_rows_to_learn_from_and_two_to_be_asked() -> None:
    data = load_toy(validation_size=10_000, seed=0)
    train = [[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]]
    np.testing.assert_array_equal(data.train.inputs["features"], np.array(train, dtype=np.float32))
    test = [[-0.8, 2.8], [2.6, -1.6]]
    np.testing.assert_array_equal(data.test.inputs["features"], np.array(test, dtype=np.float32))
    assert data.train.labels is not None
    assert data.test.labels is not None
    assert (data.train.labels.tolist(), data.test.labels.tolist()) == ([0, 0, 0, 1, 1], [0, 1])
    rows = {name: {tuple(row) for row in data.split(name).inputs["features"].tolist()} for name in SPLITS}
    assert not rows["train"] & rows["validation"]
    assert not rows["test"] & rows["validation"]


def test_blobs_have_fifty_features_and_three_classes_that_can_be_told_apart() -> None:
    data = load_blobs(validation_size=10_000, seed=0)
    assert data.inputs[0].shape == (50,)
    assert data.classes == ("a", "b", "c")
    assert [len(data.split(name)) for name in SPLITS] == [3000, 1000, 1000]
    train, test = data.train, data.test
    assert train.labels is not None
    assert test.labels is not None
    centres = np.stack([train.inputs["features"][train.labels == label].mean(axis=0) for label in range(3)])
    nearest = ((test.inputs["features"][:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert 0.8 < (nearest == test.labels).mean() < 0.95
    again, other = load_blobs(validation_size=1, seed=0), load_blobs(validation_size=1, seed=1)
    assert again.digest() == data.digest()
    assert other.digest() != data.digest()


def test_there_is_no_folder_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected none, because toy is made and not read; leave it out"):
        load_toy(validation_size=1, seed=0, folder=tmp_path)
