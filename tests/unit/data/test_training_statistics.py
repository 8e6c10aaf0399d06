"""Mean and standard deviation of the training split, by channel or by column of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.data.training_statistics import fit_statistics
from pipeline.engine import array_files

PICTURE = InputSpec(name="image", dtype="uint8", shape=(3, 4, 5), low=0, high=255, decoding=ImageDecoding(mode="RGB"))


def table(*columns: Column, missing: bool = False) -> InputSpec:
    return InputSpec(
        name="features",
        dtype="float32",
        shape=(len(columns),),
        low=-math.inf,
        high=math.inf,
        missing=missing,
        columns=columns,
    )


@pytest.mark.parametrize("piece_bytes", [1, 500, 1 << 24])
def test_channels_of_pictures_in_pieces(monkeypatch: pytest.MonkeyPatch, piece_bytes: int) -> None:
    monkeypatch.setattr(array_files, "_PIECE_BYTES", piece_bytes)
    pixels = np.random.default_rng(0).integers(0, 200, (17, 3, 4, 5), dtype=np.uint8)
    pixels[:, 1] //= 4
    for values in (pixels, pixels.astype(np.float32)):
        fitted = fit_statistics(values, PICTURE)
        assert fitted is not None
        np.testing.assert_allclose(fitted.mean, pixels.mean(axis=(0, 2, 3)), rtol=1e-6)
        np.testing.assert_allclose(fitted.std, pixels.std(axis=(0, 2, 3)), rtol=1e-6)


def test_columns_of_numbers_without_categories_and_gaps() -> None:
    spec = table(Column(name="a"), Column(name="b", categories=("x", "y")), Column(name="c"), missing=True)
    rows = np.array([[1, 0, 5], [3, 1, np.nan], [5, np.nan, 7]], dtype=np.float32)
    fitted = fit_statistics(rows, spec)
    assert fitted is not None
    assert fitted.mean == (3.0, 6.0)
    np.testing.assert_allclose(fitted.std, (math.sqrt(8 / 3), 1.0), rtol=1e-7)


def test_numbers_far_from_zero_keep_their_spread() -> None:
    rows = (1e6 + np.arange(1000.0) % 10).astype(np.float32)[:, np.newaxis]
    fitted = fit_statistics(rows, table(Column(name="year")))
    assert fitted is not None
    np.testing.assert_allclose(fitted.std, [np.std(np.arange(10.0))], rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e9])
def test_a_constant_column_is_divided_by_one(value: float) -> None:
    fitted = fit_statistics(np.full((77, 1), value, dtype=np.float32), table(Column(name="a")))
    assert fitted is not None
    assert fitted.std == (1.0,)
    assert fitted.mean == (float(np.float32(value)),)


def test_what_has_no_statistics() -> None:
    categories = table(Column(name="a", categories=("x", "y")))
    assert fit_statistics(np.zeros((3, 1), dtype=np.float32), categories) is None
    vector: Any = InputSpec(name="x", dtype="float32", shape=(4,), low=0, high=1)
    assert fit_statistics(np.zeros((3, 4), dtype=np.float32), vector) is None
