"""What the columns of a table hold: found in a first reading of its rows, or declared in the recipe, and checked."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline._handlers.columns import MOST_CATEGORIES, Column, categories_in_words
from pipeline.data.table_cells import MISSING_NUMBERS, Piece, number_of, numbers_of, place_of
from pipeline.errors import DataError

# What a recipe may declare of a column: its kind, or the texts of its categories in the order of their positions.
ColumnKind = Literal["number", "category"] | tuple[str, ...]

_LARGEST = 3.4028234663852886e38  # of float32
_SHOWN_FAULTS = 3


@dataclass(frozen=True, kw_only=True)
class FoundColumn:
    """A column of a table, and what its cells hold.

    Args:
        column: name, and categories if it has some.
        missing: number of cells without a value.
        first_missing: index of the first row without a value; None where every row has one.
        low: smallest number; NaN in a column of categories.
        high: largest number; NaN in a column of categories.
        numbering: whether the column numbers the rows, as an index does.
    """

    column: Column
    missing: int
    first_missing: int | None
    low: float
    high: float
    numbering: bool

    def __str__(self) -> str:
        name, categories = self.column.name, self.column.categories
        gaps = f"; missing in {self.missing} rows" if self.missing else ""
        if categories:
            return f"column {name}: category of {len(categories)}: {categories_in_words(categories)}{gaps}"
        if self.numbering:
            gaps += "; it numbers the rows: if it says nothing else, leave it out: "
            gaps += f'data.columns.{name} = "ignore"'
        return f"column {name}: number, {self.low:g} to {self.high:g}{gaps}"


@dataclass(kw_only=True)
class _Cells:
    """What was seen of one column so far."""

    name: str
    declared: ColumnKind | None
    rows: int = 0
    numbers: int = 0
    low: float = math.inf
    high: float = -math.inf
    # Empty cells, and cells that say in a column of numbers that there is none.
    empty: int = 0
    first_empty: int | None = None
    markers: int = 0
    first_marker: int | None = None
    # The first text that is no number and no sign of a missing one, and its row.
    first_text: tuple[int, str] | None = None
    # All different texts; None where there are too many for a category.
    texts: set[str] | None = field(default_factory=set)
    numbering: bool = True

    def add(self, cells: Sequence[str]) -> None:
        """Take the cells of the next rows into account."""
        if self.texts is not None and self.declared != "number":
            self.texts.update(cells)
            if len(self.texts) > MOST_CATEGORIES + len(MISSING_NUMBERS):
                self.texts = None
        values = None if self._is_category else numbers_of(cells)
        if values is not None:
            self._add_numbers(values.min(), values.max(), len(cells))
            last = self.high - self.low == self.rows + len(cells) - 1 and values[-1] == self.high
            self.numbering = self.numbering and last and bool((values[1:] - values[:-1] == 1).all())
        else:
            self.numbering = False
            for row, cell in enumerate(cells, start=self.rows):
                self._add_cell(row, cell)
        self.rows += len(cells)

    @property
    def _is_category(self) -> bool:
        return self.declared == "category" or isinstance(self.declared, tuple)

    def _add_numbers(self, low: float, high: float, count: int) -> None:
        self.numbers += count
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def _add_cell(self, row: int, cell: str) -> None:
        if not cell:
            self.empty += 1
            self.first_empty = row if self.first_empty is None else self.first_empty
        elif self._is_category:
            return
        elif (number := number_of(cell)) is not None:
            self._add_numbers(number, number, 1)
        elif cell.lower() in MISSING_NUMBERS:
            self.markers += 1
            self.first_marker = row if self.first_marker is None else self.first_marker
        elif self.first_text is None:
            self.first_text = row, cell

    def find(self, where: str) -> FoundColumn:
        """Say what the column holds.

        Raises:
            DataError: nothing, or what is neither a number nor a category, or not what is declared.
        """
        match self.declared:
            case "number":
                return self._number(where)
            case "category":
                return self._category(where)
            case tuple():
                return self._of_categories(where, self.declared)
            case None:
                return self._number(where) if self._looks_like_numbers(where) else self._category(where)

    def _looks_like_numbers(self, where: str) -> bool:
        if self.first_text is None:
            return self.numbers > 0 or self.markers == 0
        row, text = self.first_text
        if 2 * self.numbers >= self.rows - self.empty - self.markers:
            raise DataError(
                f"{where}: {place_of(row, self.name)}: expected a number, as in {self.numbers} other rows, found "
                f'{text!r}; mend it, or declare what the column is: data.columns.{self.name} = "category" or "ignore"'
            )
        return False

    def _number(self, where: str) -> FoundColumn:
        if self.first_text is not None:
            row, text = self.first_text
            raise DataError(
                f"{where}: {place_of(row, self.name)}: expected a number, as data.columns declares, found {text!r}"
            )
        if not self.numbers:
            raise self._nothing(where)
        if not -_LARGEST <= self.low <= self.high <= _LARGEST:
            raise DataError(
                f"{where}: column {self.name}: expected finite numbers of at most {_LARGEST:g}, which float32 holds, "
                f"found {self.low:g} to {self.high:g}"
            )
        first = [row for row in (self.first_empty, self.first_marker) if row is not None]
        return FoundColumn(
            column=Column(name=self.name),
            missing=self.empty + self.markers,
            first_missing=min(first, default=None),
            low=self.low,
            high=self.high,
            numbering=self.numbering,
        )

    def _category(self, where: str) -> FoundColumn:
        texts = None if self.texts is None else self.texts - {""}
        if texts is None or len(texts) > MOST_CATEGORIES:
            found = (
                "" if self.first_text is None else f", such as {self.first_text[1]!r} in row {self.first_text[0] + 2}"
            )
            raise DataError(
                f"{where}: column {self.name}: expected numbers, or at most {MOST_CATEGORIES} different texts, found "
                f'more{found}; leave the column out: data.columns.{self.name} = "ignore"'
            )
        if not texts:
            raise self._nothing(where)
        numbers = {text: number_of(text) for text in texts}
        in_order = sorted(texts, key=lambda text: (numbers[text] is None, numbers[text] or 0.0, text))
        return self._of_categories(where, tuple(in_order))

    def _of_categories(self, where: str, categories: tuple[str, ...]) -> FoundColumn:
        try:
            column = Column(name=self.name, categories=categories)
        except ValueError as error:
            raise DataError(f"{where}: {error}") from error
        return FoundColumn(
            column=column,
            missing=self.empty,
            first_missing=self.first_empty,
            low=math.nan,
            high=math.nan,
            numbering=False,
        )

    def _nothing(self, where: str) -> DataError:
        return DataError(
            f"{where}: column {self.name}: expected values, found none; leave it out: "
            f'data.columns.{self.name} = "ignore"'
        )


class ColumnFinder:
    """Finds what the columns of a table hold, from all its rows.

    Args:
        path: the table, for messages.
        names: names of the columns that the network sees, in their order.
        declared: what the recipe declares of columns, by name.
    """

    def __init__(self, path: Path, names: Sequence[str], declared: Mapping[str, ColumnKind]) -> None:
        self._path = path
        self._cells = [_Cells(name=name, declared=declared.get(name)) for name in names]

    def add(self, columns: Piece) -> None:
        """Take the next rows into account.

        Args:
            columns: cells of the columns that the network sees, in their order.
        """
        for cells, column in zip(self._cells, columns, strict=True):
            cells.add(column)

    def find(self, *, missing: bool) -> tuple[FoundColumn, ...]:
        """Say what each column holds.

        Args:
            missing: whether values may be missing.

        Raises:
            DataError: a column is neither number nor category, or not what is declared, or a value is missing that
                may not.
        """
        columns = tuple(cells.find(str(self._path)) for cells in self._cells)
        gaps = [column for column in columns if column.missing]
        if gaps and not missing:
            first = gaps[0]
            assert first.first_missing is not None
            names = ", ".join(f"{column.column.name} ({column.missing})" for column in gaps[:_SHOWN_FAULTS])
            more = f" and {len(gaps) - _SHOWN_FAULTS} more columns" if len(gaps) > _SHOWN_FAULTS else ""
            raise DataError(
                f"{self._path}: {place_of(first.first_missing, first.column.name)}: expected a value, found none; "
                f"values are missing in {names}{more}: fill or leave out these rows, or say data.missing = true, and "
                "the network sees the mean of the column, or none of its categories"
            )
        return columns
