"""Preprocessing of rows of a table: numbers are standardized, categories become one value each, gaps are filled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pipeline._handlers.decode import InputSpec
from pipeline.errors import UsageError
from pipeline.models.preprocess import standardize


class FilledNumbers(nn.Module):
    """Standardizes numbers, and puts 0 where a value is missing: that is the mean of its column.

    Args:
        numbers: module that standardizes (B, N).
    """

    def __init__(self, numbers: nn.Module) -> None:
        super().__init__()
        self.numbers = numbers

    def forward(self, raw_BN: Tensor) -> Tensor:
        """Map (B, N) raw numbers, NaN where one is missing, to float32 of the same shape without NaN."""
        values: Tensor = self.numbers(raw_BN)
        return torch.where(torch.isnan(values), torch.zeros_like(values), values)


class TableFeatures(nn.Module):
    """Splits a row into its numbers, which come first, and its categories, each of which becomes a 0 or 1.

    A missing category, like one without a position, is 0 for all categories of its column.

    Args:
        numbers: module for the columns of numbers, (B, N) to (B, N).
        number_columns: indices of the N columns of numbers.
        category_columns: index of the column of each category, (H).
        positions: position of each category in its column, (H).
    """

    if TYPE_CHECKING:  # torch.jit.script cannot resolve postponed annotations of attributes
        number_columns: Tensor
        category_columns: Tensor
        positions: Tensor

    def __init__(
        self,
        *,
        numbers: nn.Module,
        number_columns: Sequence[int],
        category_columns: Sequence[int],
        positions: Sequence[int],
    ) -> None:
        super().__init__()
        self.numbers = numbers
        # The buffers are not persistent, because they belong to the data and not to the weights.
        self.register_buffer("number_columns", torch.tensor(number_columns, dtype=torch.int64), persistent=False)
        self.register_buffer("category_columns", torch.tensor(category_columns, dtype=torch.int64), persistent=False)
        self.register_buffer("positions", torch.tensor(positions, dtype=torch.float32), persistent=False)

    def forward(self, raw_BF: Tensor) -> Tensor:
        """Map rows (B, F) float32 to features (B, N + H) float32."""
        numbers_BN: Tensor = self.numbers(raw_BF.index_select(1, self.number_columns))
        flags_BH = (raw_BF.index_select(1, self.category_columns) == self.positions).to(torch.float32)
        return torch.cat((numbers_BN, flags_BH), dim=1)


class Categories(nn.Module):
    """The same as `TableFeatures` for a table without numbers.

    Args:
        category_columns: index of the column of each category, (H).
        positions: position of each category in its column, (H).
    """

    if TYPE_CHECKING:  # see TableFeatures
        category_columns: Tensor
        positions: Tensor

    def __init__(self, *, category_columns: Sequence[int], positions: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("category_columns", torch.tensor(category_columns, dtype=torch.int64), persistent=False)
        self.register_buffer("positions", torch.tensor(positions, dtype=torch.float32), persistent=False)

    def forward(self, raw_BF: Tensor) -> Tensor:
        """Map rows (B, F) float32 to features (B, H) float32."""
        return (raw_BF.index_select(1, self.category_columns) == self.positions).to(torch.float32)


def feature_count(spec: InputSpec) -> int:
    """Number of values that a network sees of a row: one for each number, and one for each category of each column."""
    return sum(len(column.categories) or 1 for column in spec.columns)


def table_features(
    spec: InputSpec, *, scale: float = 1.0, mean: Sequence[float] = (0.0,), std: Sequence[float] = (1.0,)
) -> nn.Module:
    """A module that turns rows (B, F) into features: numbers as `(raw * scale - mean) / std`, then categories.

    Args:
        spec: input with columns.
        scale: factor on numbers.
        mean: subtracted after scaling; one value, or one per column of numbers.
        std: divisor; one value, or one per column of numbers.

    Raises:
        UsageError: there is neither one value nor one per column of numbers, or a divisor is zero.
    """
    number_columns = [index for index, column in enumerate(spec.columns) if not column.categories]
    for name, values in (("mean", mean), ("std", std)):
        if len(values) not in (1, len(number_columns)):
            raise UsageError(
                f"model.preprocessing.{name}: expected 1 value or {len(number_columns)}, one per column of numbers, "
                f"found {len(values)}"
            )
    category_columns = [index for index, column in enumerate(spec.columns) for _ in column.categories]
    positions = [position for column in spec.columns for position in range(len(column.categories))]
    if not number_columns:
        return Categories(category_columns=category_columns, positions=positions)
    numbers: nn.Module = standardize(scale=scale, mean=mean, std=std, shape=(len(number_columns),))
    if spec.missing:
        numbers = FilledNumbers(numbers)
    if not positions:
        return numbers
    return TableFeatures(
        numbers=numbers, number_columns=number_columns, category_columns=category_columns, positions=positions
    )
