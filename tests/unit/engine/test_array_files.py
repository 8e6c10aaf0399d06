"""Files of arrays: the same bytes as the library writes, filled in pieces, and maps that cannot be written to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import save_file

from pipeline.engine import array_files
from pipeline.engine.array_files import create_arrays, map_arrays, pieces, read_arrays, write_arrays

DTYPES = ("bool", "uint8", "int8", "int16", "uint16", "float16", "int32", "uint32", "float32", "float64", "int64")


def test_a_file_filled_in_pieces_has_the_bytes_that_the_library_writes(tmp_path: Path) -> None:
    arrays: dict[str, NDArray[Any]] = {
        f"input.{dtype}é": np.arange(6).reshape(3, 2).astype(dtype) for dtype in (*DTYPES, "uint64")
    }
    arrays |= {"labels": np.arange(3), "input.a": np.ones((3, 1), np.uint8), "none": np.ones((0, 4), np.float32)}
    save_file(arrays, tmp_path / "whole")
    created = create_arrays(tmp_path / "pieces", {name: (array.dtype, array.shape) for name, array in arrays.items()})
    for name, array in arrays.items():
        for row in reversed(range(len(array))):
            created[name][row] = array[row]
    del created
    assert (tmp_path / "pieces").read_bytes() == (tmp_path / "whole").read_bytes()
    mapped = map_arrays(tmp_path / "pieces")
    assert mapped.keys() == arrays.keys()
    for name, array in arrays.items():
        assert mapped[name].dtype == array.dtype
        np.testing.assert_array_equal(mapped[name], array)


def test_mapped_arrays_are_written_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays: dict[str, NDArray[Any]] = {
        "x": np.arange(1000, dtype=np.float32).reshape(100, 10),
        "labels": np.arange(100),
    }
    write_arrays(tmp_path / "file", arrays)
    monkeypatch.setattr(array_files, "_PIECE_BYTES", 100)
    mapped = map_arrays(tmp_path / "file")
    assert [rows.stop for rows in pieces(mapped["x"])][:2] == [2, 4]
    write_arrays(tmp_path / "again", mapped)
    assert (tmp_path / "again").read_bytes() == (tmp_path / "file").read_bytes()


def test_a_large_file_is_mapped_and_a_small_one_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_file({"x": np.zeros(1000, np.float32)}, tmp_path / "file")
    assert not isinstance(read_arrays(tmp_path / "file")["x"], np.memmap)
    monkeypatch.setattr(array_files, "memory_bytes", lambda: 10_000)
    mapped = read_arrays(tmp_path / "file")["x"]
    assert isinstance(mapped, np.memmap)
    assert not mapped.flags.writeable


def test_a_damaged_file_is_not_mapped(tmp_path: Path) -> None:
    save_file({"x": np.zeros(1000, np.float32)}, tmp_path / "file")
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-1])
    with pytest.raises(SafetensorError):
        map_arrays(tmp_path / "file")
