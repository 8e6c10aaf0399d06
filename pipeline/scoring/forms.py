"""The forms in which answers are written, and the one way to write rows of a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Literal

# `outputs` is for programs of this package alone: float32 values, one row after the other.
Form = Literal["csv", "jsonl", "outputs"]


def csv_lines(rows: Iterable[Sequence[object]]) -> bytes:
    """Write rows in UTF-8: numbers with every digit, None as an empty cell.

    A name of a file that is not UTF-8 is written with backslashes in the place of the bytes that are not.
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
