"""What lies where somebody says that the data are, and what follows from it for a recipe: light, no network is run."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import DataError, UsageError
from pipeline.recipe.names import meant
from pipeline.recipe.task import TaskName

# Of a column of whole numbers with at most so many different ones, each is a class.
_MOST_CLASSES = 20
# Different texts of a column that says who or which, and not what: more than so many, none of them twice.
_NAMES_FROM = 50
_LABEL_SEPARATORS = (";", "|")
# An answer of a regression counts as right within this share of its column's spread, unless somebody says otherwise.
_TOLERANCE_SHARE = 0.1
# Rows of a table that are looked at, and pictures whose sizes are.
_ROWS, _SIZES = 20_000, 20
_LARGEST_SIDE, _USUAL_SIDE = 256, 224


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What columns hold that are to be predicted.

    Args:
        task: task that they suggest.
        tolerance: distance within which an answer of a regression is right; None in other tasks.
        words: what was found, in words.
    """

    task: TaskName
    tolerance: float | None = None
    words: str


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """A folder of pictures.

    Args:
        layout: how it is laid out: a folder for each class, a file of labels, or pictures alone.
        labels: CSV files beside the pictures.
        examples: number of pictures.
        size: height and width that suit them as an input, in pixels.
        grey: whether none of them has colours.
        words: what was found, in words.
    """

    layout: Literal["classes", "labels", "none"]
    labels: tuple[str, ...]
    examples: int
    size: tuple[int, int]
    grey: bool
    words: str


@dataclass(frozen=True, kw_only=True)
class TableFacts:
    """A table.

    Args:
        header: names of its columns.
        cells: cells of each column, of the first rows.
    """

    header: tuple[str, ...]
    cells: Mapping[str, Sequence[str]] = field(repr=False)

    @property
    def words(self) -> str:
        """What was found, in words."""
        shown = ", ".join(self.header[:12]) + (", ..." if len(self.header) > 12 else "")
        return f"{len(self.header)} columns: {shown}"

    def settings(self, targets: Sequence[str]) -> dict[str, Any]:
        """Return further keys of `[data]`: columns that number or name the rows, and whether values are missing."""
        features = {name: cells for name, cells in self.cells.items() if name not in targets}
        ignored = [name for name, cells in features.items() if _numbers_rows(cells) or _names_rows(cells)]
        missing = any("" in cells for name, cells in features.items() if name not in ignored)
        return {
            **({"missing": True} if missing else {}),
            **({"columns": dict.fromkeys(ignored, "ignore")} if ignored else {}),
        }


def look_at_pictures(folder: Path) -> PictureFacts:
    """Find out how a folder of pictures is laid out.

    Raises:
        DataError: there are no pictures, or they are laid out in two ways at once.
    """
    from collections import Counter

    from pipeline.data.picture_files import find_pictures, walk
    from pipeline.recipe.task import Classification

    names, others = walk(folder)
    if not names:
        raise DataError(f"{folder}: expected a folder of pictures, found no picture in it")
    tables = tuple(other for other in others if other.endswith(".csv") and "/" not in other)
    size, grey = _usual_kind([folder / name for name in names[:: max(1, len(names) // _SIZES)]])
    words = f"{len(names):,} pictures without labels"
    alone = PictureFacts(layout="none", labels=(), examples=len(names), size=size, grey=grey, words=words)
    if tables and not any("/" in name for name in names):
        words = f"{len(names):,} pictures beside {', '.join(tables)}"
        return replace(alone, layout="labels", labels=tables, words=words)
    found = find_pictures(folder, None, Classification(), shown=str(folder))
    if found.targets is None:
        return alone
    counts = Counter(found.targets.tolist())
    shown = ", ".join(f"{name} {counts[place]:,}" for place, name in enumerate(found.outputs[:8]))
    more = f" and {len(found.outputs) - 8} more" if len(found.outputs) > 8 else ""
    words = f"{len(names):,} pictures of {len(found.outputs)} classes: {shown}{more}"
    return replace(alone, layout="classes", labels=tables, words=words)


def look_at_table(path: Path) -> TableFacts:
    """Read the header and the first rows of a table.

    Raises:
        DataError: it cannot be read, or is no table.
    """
    from pipeline.data.table_files import read_header, read_pieces

    header = read_header(path)
    piece = next(iter(read_pieces(path, header)), None)
    if piece is None:
        raise DataError(f"{path}: expected rows below the header, found none")
    return TableFacts(header=header, cells={name: cells[:_ROWS] for name, cells in zip(header, piece, strict=True)})


def look_at_labels(path: Path) -> TableFacts:
    """Read a CSV file that says what pictures show: the columns of its targets.

    Raises:
        DataError: it cannot be read, or holds no targets.
    """
    from pipeline.data.table_cells import separator_of

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            separator = separator_of(stream.readline())
            stream.seek(0)
            rows = [row for row in csv.reader(stream, delimiter=separator) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: expected a CSV file, found: {error}") from error
    header = [name.strip() for name in rows[0]] if rows else []
    file = "file" if "file" in header else next(iter(header), "")
    names = [name for name in header if name not in (file, "split")]
    if not names or len(rows) < 2:
        raise DataError(f"{path}: expected a column of files, one of targets and a row for each picture, found none")
    width = len(header)
    columns = list(zip(*(row for row in rows[1:] if len(row) == width), strict=True))
    cells = {name: [cell.strip() for cell in columns[header.index(name)]] for name in names}
    return TableFacts(header=tuple(names), cells=cells)


def suggest_task(table: TableFacts, names: Sequence[str]) -> Targets:
    """Say which task columns suggest that are to be predicted.

    Raises:
        UsageError: there is no such column, or columns do not go together.
    """
    for name in names:
        if name not in table.header:
            near = meant(name, table.header)
            raise UsageError(f"expected one of the columns {', '.join(table.header)}, found {name!r}{near}")
    columns = {name: [cell for cell in table.cells[name] if cell] for name in names}
    empty = [name for name, cells in columns.items() if not cells]
    if empty:
        raise UsageError(f"expected values in column {empty[0]}, found none")
    numbers = {name: _numbers(cells) for name, cells in columns.items()}
    if len(names) == 1:
        return _of_one(names[0], columns[names[0]], numbers[names[0]])
    if any(values is None for values in numbers.values()):
        text = next(name for name, values in numbers.items() if values is None)
        raise UsageError(f"expected columns of numbers where there are several, found texts in {text}; name one column")
    known = {name: values for name, values in numbers.items() if values is not None}
    if all(set(values) <= {0.0, 1.0} for values in known.values()):
        return Targets(task="multi-label", words=f"{len(names)} columns of 0 and 1: several labels")
    spread = min(max(values) - min(values) for values in known.values())
    return Targets(task="regression", tolerance=_tolerance(spread), words=f"{len(names)} columns of numbers")


def _of_one(name: str, cells: Sequence[str], numbers: list[float] | None) -> Targets:
    different = sorted(set(cells))
    if numbers is None:
        if any(separator in cell for cell in different for separator in _LABEL_SEPARATORS):
            return Targets(task="multi-label", words=f"column {name} holds several labels for each example")
        return Targets(task="classification", words=f"column {name} holds {len(different)} classes")
    if all(value == int(value) for value in numbers) and len(set(numbers)) <= _MOST_CLASSES:
        return Targets(task="classification", words=f"column {name} holds {len(different)} different whole numbers")
    low, high = min(numbers), max(numbers)
    return Targets(
        task="regression", tolerance=_tolerance(high - low), words=f"column {name} holds numbers, {low:g} to {high:g}"
    )


def _tolerance(spread: float) -> float:
    """A round distance, a tenth of a spread."""
    return float(f"{_TOLERANCE_SHARE * spread:.1g}") if spread > 0 else 1.0


def _numbers(cells: Sequence[str]) -> list[float] | None:
    from pipeline.data.table_cells import number_of

    numbers = [number_of(cell) for cell in cells]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


def _numbers_rows(cells: Sequence[str]) -> bool:
    """Whether a column counts the rows, as an index does."""
    numbers = _numbers(cells)
    if numbers is None or len(numbers) < _NAMES_FROM:
        return False
    return all(after - before == 1 for before, after in pairwise(numbers))


def _names_rows(cells: Sequence[str]) -> bool:
    """Whether a column holds another text in each row, as a name or a key does."""
    return len(cells) > _NAMES_FROM and len(set(cells)) == len(cells) and _numbers(cells) is None


def _usual_kind(files: Sequence[Path]) -> tuple[tuple[int, int], bool]:
    """The size of small pictures where all have one, else that of most published networks; whether all are grey."""
    from PIL import Image, UnidentifiedImageError

    sizes, modes = set(), set()
    for file in files:
        try:
            with Image.open(file) as picture:
                sizes.add((picture.height, picture.width))
                modes.add(picture.mode)
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            continue  # a build names what cannot be decoded
    size = next(iter(sizes)) if len(sizes) == 1 else (_USUAL_SIDE, _USUAL_SIDE)
    grey = bool(modes) and modes <= {"1", "L", "LA"}
    return (size if max(size) <= _LARGEST_SIDE else (_USUAL_SIDE, _USUAL_SIDE)), grey
