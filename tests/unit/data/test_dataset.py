"""The checks of a data set, and the files of its splits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline._handlers.decode import InputSpec
from pipeline.data.dataset import DataSet, Split, describe, read_info, read_split, write_info, write_split
from pipeline.data.input_checks import check_split
from pipeline.errors import DataError
from pipeline.tasks.classification.member import ClassificationTask

SPEC = InputSpec(name="x", dtype="float32", shape=(2,), low=-10, high=10)

TASK = ClassificationTask()


def _split(count: int = 4, **changes: Any) -> Split:
    inputs: dict[str, NDArray[Any]] = {"x": np.arange(2 * count, dtype=np.float32).reshape(count, 2)}
    labels = np.arange(count, dtype=np.int64) % 2
    return Split(**{"inputs": inputs, "labels": labels, **changes})


def _data(train: Split | None = None) -> DataSet:
    return DataSet(
        name="d",
        train=_split() if train is None else train,
        validation=_split(),
        test=_split(),
        classes=("a", "b"),
        inputs=(SPEC,),
    )


NAN = np.array([[0, math.nan], [1, 2]] * 2, dtype=np.float32)


@pytest.mark.parametrize(
    ("train", "text"),
    [
        (_split(0), "d, train: expected at least one example, found none"),
        (_split(labels=np.array([0, 1, 2, 0])), "labels: expected class indices 0 to 1, found 0 to 2"),
        (_split(labels=np.array([0, -1, 1, 0])), "labels: expected class indices 0 to 1, found -1 to 1"),
        (
            _split(labels=np.zeros(4, dtype=np.int32)),
            r"labels: expected .* int64 \(N,\), found int32 \(4,\); give labels.astype",
        ),
        (_split(labels=np.zeros(3, dtype=np.int64)), "input x: expected 3 examples, as many as labels, found 4"),
        (_split(inputs={"y": np.zeros((4, 2))}), r"expected inputs \['x'\], found \['y'\]"),
        (_split(inputs={"x": np.zeros((4, 2))}), "input x: expected dtype float32, found float64"),
        (_split(inputs={"x": np.zeros((4, 3), dtype=np.float32)}), r"expected shape \(N, 2\), found \(4, 3\)"),
        (_split(inputs={"x": np.full((4, 2), 11, dtype=np.float32)}), "expected values from -10 to 10, found 11 to 11"),
        (
            _split(inputs={"x": NAN}),
            r"input x: expected numbers, found NaN, 2 of 8 values in 2 of 4 examples, in column 1; .*missing=True\)",
        ),
        (
            _split(inputs={"x": np.where(np.isnan(NAN), np.inf, -np.inf).astype(np.float32)}),
            "input x: expected finite values, found infinite ones, 8 of 8 values in 4 of 4 examples, in columns 0, 1; ",
        ),
        (_split(inputs={"x": np.zeros((4, 2))}), r'found float64; convert them with .astype\("float32"\)'),
        (_split(inputs={"x": np.full((4, 2), "a")}), "input x: expected dtype float32, found <U1; encode them as numb"),
        (
            _split(labels=np.array(["a", "b"] * 2)),
            r"labels: .* found <U1 \(4,\); give the position of each name, such as \['a'\], in classes",
        ),
        (_split(labels=np.eye(4)), r"found float64 \(4, 4\); they are one-hot: give labels\.argmax\(axis=1\)"),
    ],
)
def test_a_data_set_is_checked(train: Split, text: str) -> None:
    with pytest.raises(DataError, match=text):
        _data(train)


def test_missing_values_are_values_where_they_are_declared() -> None:
    spec = replace(SPEC, missing=True)
    for raw in (NAN, np.full((4, 2), np.nan, dtype=np.float32)):
        check_split("d", _split(inputs={"x": raw}), [spec], outputs=2, task=TASK)
    with pytest.raises(DataError, match="expected values from -10 to 10, found 0 to 20"):
        check_split("d", _split(inputs={"x": NAN * 10}), [spec], outputs=2, task=TASK)
    with pytest.raises(DataError, match="found infinite ones, 2 of 8 values in 2 of 4 examples, in column 1; limit"):
        check_split(
            "d",
            _split(inputs={"x": np.where(np.isnan(NAN), np.inf, NAN)}),
            [spec],
            outputs=2,
            task=ClassificationTask(),
        )


def test_of_many_columns_the_first_are_named() -> None:
    wide = InputSpec(name="x", dtype="float32", shape=(30,), low=-1, high=1)
    raw = np.full((4, 30), np.nan, dtype=np.float32)
    with pytest.raises(DataError, match="in columns 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more; fill"):
        check_split("d", _split(inputs={"x": raw}), [wide], outputs=2, task=TASK)


FREE = InputSpec(name="x", dtype="float32", shape=(3, 2), low=-1, high=1, dynamic_axes=(0,))


def _of_shape(*shape: int, spec: InputSpec = FREE, **more: tuple[int, ...]) -> DataSet:
    shapes = {spec.name: shape, **more}
    split = _split(inputs={name: np.zeros((4, *sizes), np.float32) for name, sizes in shapes.items()})
    inputs = tuple(replace(spec, name=name, shape=shapes[name]) for name in shapes) if more else (spec,)
    return DataSet(name="d", train=split, validation=split, test=split, classes=("a", "b"), inputs=inputs)


def test_a_free_axis_may_have_another_size_and_no_other_axis_may() -> None:
    assert _of_shape(5, 2).train.inputs["x"].shape == (4, 5, 2)
    with pytest.raises(DataError, match=r"d, train: input x: expected shape \(N, any, 2\), found \(4, 3, 5\)"):
        _of_shape(3, 5)
    with pytest.raises(DataError, match="input x: size of axis 0 out of its range: expected 2 to 4, found 5"):
        _of_shape(5, 2, spec=replace(FREE, dynamic_sizes=((2, 4),)))


def test_axes_of_one_size_in_all_data_are_one_unless_they_are_named() -> None:
    names = [spec.dynamic_names for spec in describe(_of_shape(3, 2, mask=(3, 2), more=(4, 2))).inputs]
    assert names == [("x",), ("x",), ()]
    assert describe(_of_shape(3, 2)).inputs == (FREE,)
    with pytest.raises(
        DataError, match=r"input mask: size of axis 0 differs from that of x axis 0: expected one size of"
    ):
        _of_shape(3, 2, spec=replace(FREE, dynamic_names=("length",)), mask=(5, 2))


def test_one_class_is_no_classification() -> None:
    with pytest.raises(DataError, match="classes: expected at least 2, found 1"):
        DataSet(name="d", train=_split(), validation=_split(), test=_split(), classes=("a",), inputs=(SPEC,))


def _from_arrays(seed: int = 0, count: int = 100, validation: float = 0.2, test: float = 0.2) -> DataSet:
    raw = np.linspace(-1, 1, 2 * count, dtype=np.float32).reshape(count, 2)
    labels = (np.arange(count) % 10 == 0).astype(np.uint8)
    return DataSet.from_arrays(
        "d", {"x": raw}, labels, classes=["a", "b"], specs=[SPEC], seed=seed, validation=validation, test=test
    )


def test_from_arrays_gives_each_class_its_share_and_loses_nothing() -> None:
    data = _from_arrays(validation=0.2, test=0.3)
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [50, 20, 30]
    assert [int(np.sum(split.labels == 1)) for split in splits] == [5, 2, 3]
    seen = np.sort(np.concatenate([split.inputs["x"][:, 0] for split in splits]))
    assert np.array_equal(seen, np.linspace(-1, 1, 200, dtype=np.float32)[::2])


def test_from_arrays_is_decided_by_the_seed() -> None:
    assert _from_arrays(seed=1).digest() == _from_arrays(seed=1).digest()
    assert _from_arrays(seed=1).digest() != _from_arrays(seed=2).digest()


def test_from_arrays_refuses_impossible_shares_and_labels() -> None:
    with pytest.raises(DataError, match="expected shares above 0 for validation and test with a sum under 1"):
        _from_arrays(validation=0.5, test=0.5)
    with pytest.raises(DataError, match="d, validation: expected at least one example, found none"):
        _from_arrays(count=2)
    with pytest.raises(
        DataError, match=r"labels: expected a class index for each example, integers \(N,\), found float64"
    ):
        DataSet.from_arrays("d", {}, np.zeros(3), classes=["a", "b"], specs=[SPEC])
    with pytest.raises(
        DataError, match=r"found object \(2,\); give the position of each name, such as \['a'\], in classes"
    ):
        DataSet.from_arrays("d", {}, np.array(["a", "b"], object), classes=["a", "b"], specs=[SPEC])


def test_a_split_crosses_a_file_bitwise_with_the_same_bytes(tmp_path: Path) -> None:
    split = _split(inputs={"x": np.arange(8, dtype=np.float32).reshape(2, 4).T})
    write_split(tmp_path / "a", split)
    write_split(tmp_path / "b", split)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = read_split(tmp_path / "a")
    assert again.digest() == split.digest()
    assert again.inputs["x"].flags.writeable, "torch warns when it is handed read-only memory"


def test_facts_cross_a_file(tmp_path: Path) -> None:
    info = describe(_data())
    write_info(tmp_path / "data.json", info)
    assert read_info(tmp_path / "data.json") == info
    assert info.sizes == {"train": 4, "validation": 4, "test": 4}
    assert {sum(counts) for counts in info.class_counts.values()} == {4}


def test_facts_of_an_earlier_version_hold_no_counts_of_classes(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    write_info(path, describe(_data()))
    document = json.loads(path.read_text())
    del document["class_counts"]
    path.write_text(json.dumps(document))
    assert read_info(path).gaps == ()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"name": 1}'])
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "data"
    path.write_text(content)
    with pytest.raises(DataError, match="expected the facts of a data set"):
        read_info(path)
    with pytest.raises(DataError, match="expected a split"):
        read_split(path)


def test_examples_that_never_occur_by_the_input_are_refused() -> None:
    raw = np.array([[0, 1], [0, 0], [2, 3], [10, 10]], dtype=np.float32)
    check_split("d", _split(inputs={"x": raw}), [SPEC], outputs=2, task=TASK)
    with pytest.raises(DataError, match=r"\(noise\), found .* in 2 of 4 examples, first in example 1; leave"):
        check_split(
            "d", _split(inputs={"x": raw}), [replace(SPEC, occurs=("noise",))], outputs=2, task=ClassificationTask()
        )
