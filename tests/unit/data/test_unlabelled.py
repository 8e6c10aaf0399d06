"""Data without labels: splits, files and facts, and what answers are judged by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, Split, describe, read_info, read_split, write_info, write_split
from pipeline.data.input_checks import check_split
from pipeline.data.picture_classes import listed_outputs
from pipeline.errors import DataError
from pipeline.recipe.data import Data
from pipeline.recipe.task import Classification, Outputs
from pipeline.tasks.classification.member import ClassificationTask
from pipeline.tasks.quality import AGREEMENT

SPEC = InputSpec(name="x", dtype="float32", shape=(2,), low=-1, high=1)
TASK = ClassificationTask()


def _unlabelled(count: int = 100, seed: int = 0) -> DataSet:
    raw = np.linspace(-1, 1, 2 * count, dtype=np.float32).reshape(count, 2)
    return DataSet.from_arrays("photos", {"x": raw}, classes=["a", "b"], specs=[SPEC], seed=seed)


def test_a_set_without_labels_is_split_in_the_shares_and_loses_nothing() -> None:
    data = _unlabelled()
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [60, 20, 20]
    assert [split.labels for split in splits] == [None, None, None]
    seen = np.sort(np.concatenate([split.inputs["x"][:, 0] for split in splits]))
    assert np.array_equal(seen, np.linspace(-1, 1, 200, dtype=np.float32)[::2])
    assert data.digest() == _unlabelled().digest()
    assert data.digest() != _unlabelled(seed=1).digest()
    assert len(data.test.take(slice(3))) == 3


def test_splits_and_facts_without_labels_cross_files(tmp_path: Path) -> None:
    data = _unlabelled()
    write_split(tmp_path / "test.safetensors", data.test)
    again = read_split(tmp_path / "test.safetensors")
    assert again.labels is None
    assert again.digest() == data.test.digest()
    info = describe(data)
    assert (info.labelled, info.class_counts, info.gaps) == (False, {}, ())
    write_info(tmp_path / "data.json", info)
    assert read_info(tmp_path / "data.json") == info


def test_facts_of_labelled_data_hold_what_they_always_held(tmp_path: Path) -> None:
    data = DataSet.from_arrays(
        "d", {"x": np.zeros((20, 2), np.float32)}, np.arange(20) % 2, classes=["a", "b"], specs=[SPEC]
    )
    write_info(tmp_path / "data.json", describe(data))
    document = json.loads((tmp_path / "data.json").read_text())
    assert "labelled" not in document
    assert read_info(tmp_path / "data.json").labelled


def test_a_file_with_strange_tensors_is_no_split(tmp_path: Path) -> None:
    save_file({"logits": np.zeros((2, 2), np.float32)}, tmp_path / "golden.safetensors")
    with pytest.raises(DataError, match=r"expected a split .*, found a tensor 'logits' in it"):
        read_split(tmp_path / "golden.safetensors")


def test_splits_are_labelled_together_or_not_at_all() -> None:
    data = _unlabelled()
    labelled = replace(data.test, labels=np.zeros(20, np.int64))
    with pytest.raises(DataError, match="photos: expected labels in all three splits or in none, found none in train"):
        replace(data, validation=labelled, test=labelled)


def test_inputs_without_labels_are_checked_like_all_others() -> None:
    specs = [SPEC, replace(SPEC, name="y")]
    uneven = Split(inputs={"x": np.zeros((4, 2), np.float32), "y": np.zeros((3, 2), np.float32)}, labels=None)
    with pytest.raises(DataError, match="d: input y: expected 4 examples, as many as of input x, found 3"):
        check_split("d", uneven, specs, outputs=2, task=TASK)
    with pytest.raises(DataError, match="d: expected at least one example, found none"):
        check_split("d", Split(inputs={}, labels=None), specs, outputs=2, task=TASK)
    with pytest.raises(DataError, match=r"d: expected inputs \['x', 'y'\], found \['x'\]"):
        check_split("d", Split(inputs={"x": uneven.inputs["x"]}, labels=None), specs, outputs=2, task=TASK)


def test_without_labels_the_float_network_decides_what_is_right() -> None:
    outputs = np.array([[0.1, 0.9], [2.0, -1.0], [0.0, 0.5]], np.float32)
    inputs = {"x": np.zeros((3, 2), np.float32)}
    labelled, unlabelled = Split(inputs=inputs, labels=np.array([0, 0, 1])), Split(inputs=inputs, labels=None)
    assert labelled.targets(TASK, outputs, activation="none").tolist() == [0, 0, 1]
    assert unlabelled.targets(TASK, outputs, activation="none").tolist() == [1, 0, 1]
    assert unlabelled.targets(TASK, outputs, activation="none").dtype == np.int64
    assert TASK.scores(outputs, unlabelled.targets(TASK, outputs, activation="none"), activation="none").tolist() == [
        1,
        1,
        1,
    ]
    assert (labelled.metric(TASK), unlabelled.metric(TASK)) == ("accuracy", AGREEMENT)


def test_a_network_that_names_its_outputs_needs_no_names_from_the_data(tmp_path: Path) -> None:
    data = Data.model_validate({"folder": "p"})
    assert listed_outputs((), None, data, tmp_path, task=Outputs()) == ((), None)
    with pytest.raises(DataError, match=r"data\.classes: expected the names of the network's outputs"):
        listed_outputs((), None, data, tmp_path, task=Classification())
