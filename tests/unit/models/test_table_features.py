"""What a network sees of a row: standardized numbers, a value for each category, zeros for gaps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch

from pipeline._handlers.columns import Column
from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError
from pipeline.models.preprocess import Affine, ToFloat
from pipeline.models.table_features import feature_count, table_features

AGE, SEX, FARE = Column(name="age"), Column(name="sex", categories=("f", "m")), Column(name="fare")
DECK = Column(name="deck", categories=("A", "B", "C"))
ROWS = torch.tensor([[2.0, 1.0, 10.0, 2.0], [4.0, 0.0, 30.0, 0.0]])
GAPS = torch.tensor([[math.nan, 1.0, 10.0, math.nan], [4.0, math.nan, math.nan, 0.0]])


def spec(*columns: Column, missing: bool = False) -> InputSpec:
    return InputSpec(
        name="features",
        dtype="float32",
        shape=(len(columns),),
        low=-math.inf,
        high=math.inf,
        missing=missing,
        columns=columns,
    )


def see(rows: torch.Tensor, *columns: Column, missing: bool = False, **settings: Any) -> list[list[float]]:
    seen: list[list[float]] = table_features(spec(*columns, missing=missing), **settings)(rows).tolist()
    return seen


def test_numbers_come_first_and_categories_become_flags() -> None:
    columns = (AGE, SEX, FARE, DECK)
    assert feature_count(spec(*columns)) == 7
    assert see(ROWS, *columns, mean=(3.0, 20.0), std=(2.0, 10.0)) == [
        [-0.5, -1.0, 0.0, 1.0, 0.0, 0.0, 1.0],
        [0.5, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    ]


def test_gaps_become_the_mean_and_no_category() -> None:
    assert see(GAPS, AGE, SEX, FARE, DECK, missing=True, mean=(3.0, 20.0), std=(2.0, 10.0)) == [
        [0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
    ]


def test_a_table_of_one_kind() -> None:
    assert see(ROWS[:, :1], AGE, mean=(3.0,), std=(2.0,)) == [[-0.5], [0.5]]
    assert see(GAPS[:, :1], AGE, missing=True) == [[0.0], [4.0]]
    assert see(ROWS[:, 1:2], SEX) == [[0.0, 1.0], [1.0, 0.0]]
    assert isinstance(table_features(spec(AGE, FARE), mean=(1.0, 2.0)), Affine)
    assert isinstance(table_features(spec(AGE, FARE)), ToFloat)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mean": (1.0, 2.0, 3.0)},
            r"model\.preprocessing\.mean: expected 1 value or 2, one per column of numbers, found 3",
        ),
        ({"std": (1.0, 0.0)}, r"model\.preprocessing\.std: expected values other than 0"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Sequence[float]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        table_features(spec(AGE, SEX, FARE), **settings)  # type: ignore[arg-type]
