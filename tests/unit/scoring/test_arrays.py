"""Which array of a file belongs to which input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pipeline._handlers.decode import InputSpec
from pipeline.errors import DataError
from pipeline.scoring.arrays import open_arrays, read_rows

LEFT = InputSpec(name="left", dtype="float32", shape=(2,), low=-9.0, high=9.0)
RIGHT = InputSpec(name="right", dtype="int64", shape=(3,), low=0, high=9, dynamic_axes=(0,))
VALUES = np.arange(10, dtype=np.float32).reshape(5, 2)
WORDS = np.zeros((5, 4), np.int32)


def test_one_array_alone(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    source = open_arrays(tmp_path / "a.npy", [LEFT])
    assert (source.total, source.labels) == (5, None)
    assert [request.document for request in source.requests(size=3, start=3)] == [{"first": 3, "end": 5}]
    assert np.array_equal(read_rows(source.places["left"], slice(1, 3)), VALUES[1:3])


@pytest.mark.parametrize("suffix", ["npz", "safetensors"])
def test_arrays_by_name_with_labels_beside_them(tmp_path: Path, suffix: str) -> None:
    arrays: dict[str, NDArray[Any]] = {"input.left": VALUES, "right": WORDS, "labels": np.arange(5)}
    path = tmp_path / f"a.{suffix}"
    if suffix == "npz":
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    else:
        save_file(arrays, path)
    source = open_arrays(path, [LEFT, RIGHT])
    assert source.total == 5
    assert source.labels is not None
    assert read_rows(source.labels).tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(read_rows(source.places["right"]), WORDS)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((5, 3), np.float32), r"input left: expected shape \(N, 2\), found \(5, 3\)"),
        (np.zeros((5, 2), np.int64), r'expected float32, found int64; convert it with .astype\("float32"\)'),
        (np.zeros((0, 2), np.float32), "expected at least one row, found none"),
        (np.array([[{}]]), "expected arrays of numbers, found: "),
    ],
)
def test_other_arrays_are_refused(tmp_path: Path, array: NDArray[Any], message: str) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError, match=message):
        open_arrays(tmp_path / "a.npy", [LEFT])


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.safetensors"])
def test_a_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"no arrays")
    with pytest.raises(DataError, match="expected arrays of numbers, found: "):
        open_arrays(tmp_path / name, [LEFT])


def test_a_missing_input_is_named_with_what_is_there(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", left=VALUES, wrong=WORDS)
    with pytest.raises(DataError, match="expected an array of input right, found left, wrong"):
        open_arrays(tmp_path / "a.npz", [LEFT, RIGHT])
    np.savez(tmp_path / "b.npz", left=VALUES, right=WORDS[:3])
    with pytest.raises(DataError, match="expected as many rows of each input, found"):
        open_arrays(tmp_path / "b.npz", [LEFT, RIGHT])
