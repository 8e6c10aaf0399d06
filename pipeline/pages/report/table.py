"""A table of the report, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipeline.engine.documents import Document

# How a candidate stands: chosen; inside its limits; a drop that is over the budget or not provably inside; refused for
# confident flips; without figures, because it is not proven or cannot be made.
State = Literal["chosen", "inside", "outside", "overturns", "unproven"]


class Column(Document):
    """A column of a table.

    Args:
        name: its heading.
        numeric: whether it holds figures, which stand on the right.
        meaning: what it holds, where the heading does not say it.
    """

    name: str
    numeric: bool = False
    meaning: str = ""


class Cell(Document):
    """A cell of a table.

    Args:
        text: what it shows.
        value: figure that it is sorted by; None sorts last, and a column of None is sorted by its text.
        details: what is told of it where a reader asks for more.
    """

    text: str
    value: float | None = None
    details: str = ""


class Row(Document):
    """A row of a table.

    Args:
        name: candidate that it is of; empty where it is of something else.
        state: how that candidate stands.
        cells: a cell per column.
    """

    name: str = ""
    state: State | None = None
    cells: tuple[Cell, ...]


class Table(Document):
    """A table.

    Args:
        caption: what it shows, in a line.
        columns: its columns; the first one names the row.
        rows: its rows.
        sorted_by: place of the column by which the rows are sorted, the least figure first; None for another order.
        notes: what is to be known before reading it, a sentence or two each.
        terms: what names in it mean, by name.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    sorted_by: int | None = None
    notes: tuple[str, ...] = ()
    terms: dict[str, str] = Field(default={})
