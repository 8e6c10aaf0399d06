"""The columns of an input that is one row of a table: their names, and the categories of those that hold texts.

The model takes one float32 value per column. A category becomes its position among the categories of its column; what a
network makes of that position is inside the model file. A missing value is NaN.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from .bad_request import BadRequest
from .description_checks import checked_line

# Largest number of categories of one column. More of them are names or free text, which no such column holds.
MOST_CATEGORIES = 1000
_SHOWN_CATEGORIES = 12
_SHOWN_TEXT = 60


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of a table.

    Args:
        name: the column's name in the table and in requests.
        categories: texts that the column holds, by position; empty where the column holds numbers.

    Raises:
        ValueError: a name is empty or has control characters, or a category is there twice.
    """

    name: str
    categories: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checked_line(self.name, f"column {self.name!a}: name")
        for category in self.categories:
            checked_line(category, f"column {self.name}: categories")
        if len(set(self.categories)) != len(self.categories):
            raise ValueError(f"column {self.name}: categories: expected each once, found {list(self.categories)}")
        if len(self.categories) > MOST_CATEGORIES:
            raise ValueError(
                f"column {self.name}: categories: expected at most {MOST_CATEGORIES}, found {len(self.categories)}"
            )

    @cached_property
    def positions(self) -> dict[str, int]:
        """Return the position of each category, by its text."""
        return {category: position for position, category in enumerate(self.categories)}

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values; categories are left out where there are none."""
        return {"name": self.name, **({"categories": list(self.categories)} if self.categories else {})}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Column:
        """Read what `to_json` wrote.

        Raises:
            ValueError: a field is missing, is unknown or has a wrong value.
        """
        try:
            fields = dict(document)
            return cls(name=fields.pop("name"), categories=tuple(fields.pop("categories", ())), **fields)
        except (KeyError, TypeError) as error:
            raise ValueError(f"column: {type(error).__name__}: {error}") from error


def check_columns(where: str, columns: Sequence[Column], *, dtype: str, shape: tuple[int, ...]) -> None:
    """Check that columns fit the input that they describe.

    Args:
        where: the input, for messages.
        columns: columns of the input, in order; none where it is no row of a table.
        dtype: dtype of the input.
        shape: shape of one example.

    Raises:
        ValueError: the input is not one float32 value per column, or two columns have one name.
    """
    if not columns:
        return
    if dtype != "float32" or shape != (len(columns),):
        raise ValueError(
            f"{where}: columns: expected an input of float32 ({len(columns)},), one value per column, found {dtype} "
            f"{shape}"
        )
    names = [column.name for column in columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{where}: columns: expected each name once, found twice: {', '.join(twice)}")


def row_values(row: Mapping[str, Any] | Sequence[Any], where: str, columns: Sequence[Column]) -> list[float]:
    """Return the numbers of one row, as the model takes them.

    Args:
        row: values by column name, or in the order of the columns: numbers, texts of categories, None where a value is
            missing.
        where: the instance, for messages.
        columns: columns of the input.

    Returns:
        One number per column; the position of a category, and NaN where a value is missing.

    Raises:
        BadRequest: a column is missing or unknown, or a value is none of its column.
    """
    if isinstance(row, Mapping):
        _require_names(row, where, columns)
        row = [row[column.name] for column in columns]
    if len(row) != len(columns):
        raise BadRequest(
            f"{where}: wrong number of values",
            expected=f"{len(columns)}, one per column: {names_in_words(columns)}",
            found=str(len(row)),
        )
    return [_value(value, where, column) for value, column in zip(row, columns, strict=True)]


def row_example(columns: Sequence[Column]) -> str:
    """Write a row as JSON, for messages: the first columns by name, each with a value that it takes."""
    values = [
        f"{json.dumps(_shortened(column.name), ensure_ascii=False)}: "
        + (json.dumps(_shortened(column.categories[0]), ensure_ascii=False) if column.categories else "0")
        for column in columns[:_SHOWN_CATEGORIES]
    ]
    return "{" + ", ".join([*values, *(["..."] if len(columns) > _SHOWN_CATEGORIES else [])]) + "}"


def table_rows(array: NDArray[Any], columns: Sequence[Column]) -> list[list[Any]]:
    """Write rows as they stand in a table: the reverse of `row_values`.

    Args:
        array: float32 (N, F) as the model takes it.
        columns: columns of the input.

    Returns:
        A list of F values for each row: numbers, texts of categories, None where a value is missing.
    """
    return [
        [
            None if math.isnan(value) else column.categories[int(value)] if column.categories else value
            for value, column in zip(row, columns, strict=True)
        ]
        for row in array.tolist()
    ]


def check_categories(array: NDArray[Any], where: str, columns: Sequence[Column]) -> None:
    """Check that values of category columns are positions among their categories, or missing.

    Args:
        array: values (..., F) as the model takes them.
        where: the input, for messages.
        columns: columns of the input.

    Raises:
        BadRequest: a value is no position; the text names the column and its categories.
    """
    for index, column in enumerate(columns):
        if not column.categories:
            continue
        values = array[..., index]
        inside = np.isnan(values) | ((values >= 0) & (values < len(column.categories)) & (values == np.rint(values)))
        if not inside.all():
            raise BadRequest(
                f"{where}: column {column.name}: no position of a category",
                expected=f"0 to {len(column.categories) - 1}, of {categories_in_words(column.categories)}",
                found=str(values[~inside][0]),
            )


def categories_in_words(categories: Sequence[str]) -> str:
    """List the first categories, for messages."""
    shown = ", ".join(_shortened(category) for category in categories[:_SHOWN_CATEGORIES])
    more = len(categories) - _SHOWN_CATEGORIES
    return f"{shown} and {more} more" if more > 0 else shown


def columns_in_words(columns: Sequence[Column]) -> str:
    """List the columns, those of categories with the first of these."""
    return ", ".join(
        column.name + (f" ({categories_in_words(column.categories)})" if column.categories else "")
        for column in columns
    )


def names_in_words(columns: Sequence[Column]) -> str:
    """List the names of the columns, for messages; what is too long is cut off with the whole message."""
    return ", ".join(_shortened(column.name) for column in columns)


def _require_names(row: Mapping[str, Any], where: str, columns: Sequence[Column]) -> None:
    names = {column.name for column in columns}
    absent = [column for column in columns if column.name not in row]
    unknown = [name for name in row if name not in names]
    if not absent and not unknown:
        return
    faults = [
        *([f"no {names_in_words(absent)}"] if absent else []),
        *([f"unknown {', '.join(_shortened(str(name)) for name in unknown[:_SHOWN_CATEGORIES])}"] if unknown else []),
    ]
    raise BadRequest(
        f"{where}: wrong columns", expected=f"the columns {names_in_words(columns)}", found="; ".join(faults)
    )


def _value(value: Any, where: str, column: Column) -> float:
    """Return the number of one value; whether a value may be missing is checked with the whole input."""
    number = type(value) in (int, float)
    if value is None or (type(value) is float and math.isnan(value)):
        return math.nan
    if not column.categories:
        if not number:
            raise BadRequest(
                f"{where}: column {column.name}: wrong kind of value", expected="a number", found=_in_words(value)
            )
        try:
            return float(value)
        except OverflowError:
            return math.inf  # it is refused with the other infinite values
    # In a table the text of a category may read like a number, and JSON then has a number.
    texts = [value] if isinstance(value, str) else [str(value)] if number else []
    if type(value) is float and value.is_integer():
        texts.append(str(int(value)))
    positions = [column.positions[text] for text in texts if text in column.positions]
    return float(positions[0]) if positions else _refuse(value, where, column)


def _refuse(value: Any, where: str, column: Column) -> NoReturn:
    raise BadRequest(
        f"{where}: column {column.name}: unknown category",
        expected=categories_in_words(column.categories),
        found=_in_words(value),
    )


def _in_words(value: Any) -> str:
    """Write a value as JSON has it, shortened, or say what kind of value it is."""
    match value:
        case str():
            return json.dumps(_shortened(value), ensure_ascii=False)
        case bool() | int() | float():
            return _shortened(json.dumps(value))
        case list():
            return "a list"
        case _:
            return "an object"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_TEXT else f"{text[:_SHOWN_TEXT]}..."
