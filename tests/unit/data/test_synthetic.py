"""Synthetic inputs stay inside the domains of their specifications."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline.data.synthetic import synthetic_inputs, synthetic_kinds


def test_synthetic_kinds_keep_to_the_domain() -> None:
    specs = (
        InputSpec(name="image", dtype="uint8", shape=(1, 2, 2), low=0, high=255),
        InputSpec(name="token", dtype="int64", shape=(5,), low=1, high=9),
        InputSpec(name="free", dtype="float32", shape=(2,), low=-np.inf, high=np.inf),
    )
    real: dict[str, NDArray[Any]] = {
        "image": np.zeros((4, 1, 2, 2), np.uint8),
        "token": np.ones((4, 5), np.int64),
        "free": np.array([[-1.5, 2.5]], np.float32),
    }
    kinds = synthetic_kinds(specs, 6, real=real)
    for arrays in kinds.values():
        for spec in specs:
            assert arrays[spec.name].shape == (6, *spec.shape)
            assert arrays[spec.name].dtype == spec.dtype
    assert set(kinds["zeros"]["token"].ravel()) == {1}, "zero is outside the domain: its nearest value"
    assert set(kinds["maximum"]["image"].ravel()) == {255}
    assert set(kinds["maximum"]["free"].ravel()) == {2.5}
    assert 1 <= kinds["noise"]["token"].min() <= kinds["noise"]["token"].max() <= 9
    assert len(np.unique(kinds["noise"]["free"])) > 2
    again = synthetic_kinds(specs, 6, real=real)
    assert all(np.array_equal(kinds[kind][name], again[kind][name]) for kind in kinds for name in kinds[kind])


def test_synthetic_inputs_are_zeros_the_maximum_and_noise() -> None:
    specs = (
        InputSpec(name="age", dtype="float32", shape=(2,), low=18.0, high=99.0),
        InputSpec(name="free", dtype="float32", shape=(2,), low=-np.inf, high=np.inf),
    )
    arrays = synthetic_inputs(specs, 5)
    assert arrays["age"][:2].tolist() == [[18, 18], [99, 99]]
    assert arrays["free"][:2].tolist() == [[0, 0], [3, 3]], "without any bound: some unit variances"
    assert len(np.unique(arrays["age"][2:])) == 6
    assert synthetic_inputs(specs, 1)["age"].tolist() == [[18, 18]]


def test_some_of_the_noise_is_missing_where_values_may_be() -> None:
    free = InputSpec(name="free", dtype="float32", shape=(4,), low=-np.inf, high=np.inf)
    gaps = InputSpec(name="gaps", dtype="float32", shape=(4,), low=-np.inf, high=np.inf, missing=True)
    real = {
        "free": np.array([[0, 1, 2, 7]], np.float32),
        "gaps": np.array([[np.nan, -5, 9, np.nan]], np.float32),
    }
    kinds = synthetic_kinds([free, gaps], 8, real=real)
    assert not any(np.isnan(arrays["free"]).any() for arrays in kinds.values())
    assert not np.isnan(kinds["zeros"]["gaps"]).any()
    assert set(kinds["maximum"]["gaps"].ravel()) == {9}
    missing = np.isnan(kinds["noise"]["gaps"])
    assert 0 < missing.sum() < missing.size
    assert np.nanmin(kinds["noise"]["gaps"]) >= -5
    nothing = synthetic_kinds([gaps], 8, real={"gaps": np.full((2, 4), np.nan, np.float32)})
    assert set(nothing["maximum"]["gaps"].ravel()) == {3}


def test_what_an_input_says_does_not_occur_is_not_made_up() -> None:
    tokens = InputSpec(name="tokens", dtype="int64", shape=(4,), low=0, high=9, occurs=("noise",))
    values = InputSpec(name="other", dtype="float32", shape=(2,), low=-1.0, high=1.0)
    assert list(synthetic_kinds((tokens, values), 3)) == ["noise"]
    arrays = synthetic_inputs((tokens, values), 3)
    assert {name: len(array) for name, array in arrays.items()} == {"tokens": 3, "other": 3}
    assert synthetic_inputs((tokens,), 3, leave_out=("noise",))["tokens"].shape == (0, 4)
    assert synthetic_inputs((values,), 9, leave_out=("noise",))["other"].tolist() == [[0, 0], [1, 1]]


def test_noise_of_few_values_holds_no_example_that_never_occurs() -> None:
    flags = InputSpec(name="flags", dtype="uint8", shape=(2,), low=0, high=1, occurs=("noise",))
    noise = synthetic_kinds([flags], 50)["noise"]["flags"]
    assert {tuple(row) for row in noise.tolist()} == {(0, 1), (1, 0)}


def test_rows_of_a_table_keep_to_the_domain_of_each_column() -> None:
    columns = (Column(name="a"), Column(name="b", categories=("x", "y", "z")), Column(name="c"))
    spec = InputSpec(name="rows", dtype="float32", shape=(3,), low=-np.inf, high=np.inf, missing=True, columns=columns)
    real: dict[str, NDArray[Any]] = {"rows": np.array([[5, 0, 1e6], [7, np.nan, 2e6]], np.float32)}
    kinds = {kind: arrays["rows"] for kind, arrays in synthetic_kinds([spec], 200, real=real).items()}
    assert kinds["zeros"][0].tolist() == [5, 0, 1e6], "the value of each column that is nearest to zero"
    assert kinds["maximum"][-1].tolist() == [7, 2, 2e6]
    noise = kinds["noise"]
    assert noise.dtype == np.float32
    assert set(noise[~np.isnan(noise[:, 1]), 1].tolist()) == {0, 1, 2}
    assert np.nanmin(noise[:, 2]) >= 1e6
    assert 0 < np.isnan(noise).mean() < 0.5
    assert synthetic_kinds([spec], 2)["maximum"]["rows"][0].tolist() == [3, 2, 3], "without real rows"
