"""What is found where the data lie, and what it suggests."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.commands.start.data_facts import (
    TableFacts,
    look_at_labels,
    look_at_pictures,
    look_at_table,
    suggest_task,
)
from pipeline.errors import DataError, UsageError


def draw(path: Path, size: tuple[int, int] = (20, 10), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size).save(path)


def table_of(**columns: Sequence[str]) -> TableFacts:
    return TableFacts(header=tuple(columns), cells=columns)


def write(path: Path, *rows: Sequence[Any]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        draw(tmp_path / name)
    facts = look_at_pictures(tmp_path)
    assert (facts.layout, facts.examples, facts.size, facts.grey) == ("classes", 3, (10, 20), False)
    assert facts.words == "3 pictures of 2 classes: cat 2, dog 1"


def test_grey_pictures_of_several_sizes(tmp_path: Path) -> None:
    draw(tmp_path / "cat" / "1.png", (20, 10), "L")
    draw(tmp_path / "cat" / "2.png", (30, 10), "L")
    facts = look_at_pictures(tmp_path)
    assert (facts.size, facts.grey) == ((224, 224), True)
    draw(tmp_path / "large" / "a" / "1.png", (600, 400))
    assert look_at_pictures(tmp_path / "large").size == (224, 224)


def test_pictures_beside_a_file_of_labels_and_pictures_alone(tmp_path: Path) -> None:
    draw(tmp_path / "1.png")
    assert look_at_pictures(tmp_path).layout == "none"
    write(tmp_path / "labels.csv", ["file", "colour", "split"], ["1", "red", "train"])
    facts = look_at_pictures(tmp_path)
    assert (facts.layout, facts.labels) == ("labels", ("labels.csv",))
    assert look_at_labels(tmp_path / "labels.csv").header == ("colour",)


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match="expected a folder of pictures, found no picture in it"):
        look_at_pictures(tmp_path)
    write(tmp_path / "labels.csv", ["file"])
    with pytest.raises(DataError, match="expected a column of files, one of targets and a row for each picture"):
        look_at_labels(tmp_path / "labels.csv")


def test_columns_that_number_or_name_the_rows_are_ignored_and_missing_values_allowed(tmp_path: Path) -> None:
    rows = [[number, f"street {number}", number * 2, "" if number == 3 else 2, number % 2] for number in range(1, 80)]
    table = look_at_table(write(tmp_path / "t.csv", ["id", "street", "area", "floor", "sold"], *rows))
    assert table.settings(["sold"]) == {"missing": True, "columns": {"id": "ignore", "street": "ignore"}}
    assert table.settings(["floor", "sold"]) == {"columns": {"id": "ignore", "street": "ignore"}}
    assert table.words == "5 columns: id, street, area, floor, sold"
    with pytest.raises(DataError, match="expected rows below the header, found none"):
        look_at_table(write(tmp_path / "empty.csv", ["a", "b"]))


@pytest.mark.parametrize(
    ("columns", "task", "tolerance"),
    [
        ({"kind": ["cat", "dog", "cat"]}, "classification", None),
        ({"grade": ["1", "2", "3"]}, "classification", None),
        ({"tags": ["red;round", "red"]}, "multi-label", None),
        ({"price": ["1.5", "101.5", "7"]}, "regression", 10.0),
        ({"count": [str(number) for number in range(30)]}, "regression", 3.0),
        ({"red": ["0", "1"], "round": ["1", "1"]}, "multi-label", None),
        ({"height": ["0", "40"], "weight": ["3", "73"]}, "regression", 4.0),
    ],
)
def test_what_targets_suggest(columns: dict[str, list[str]], task: str, tolerance: float | None) -> None:
    found = suggest_task(table_of(**columns), list(columns))
    assert (found.task, found.tolerance) == (task, tolerance)


def test_targets_that_are_not_there_or_do_not_go_together() -> None:
    table = table_of(price=["1", "2"], kind=["cat", "dog"], empty=["", ""])
    with pytest.raises(
        UsageError, match=r"expected one of the columns price, kind, empty, found 'prise'; did you mean"
    ):
        suggest_task(table, ["prise"])
    with pytest.raises(UsageError, match="expected columns of numbers where there are several, found texts in kind"):
        suggest_task(table, ["price", "kind"])
    with pytest.raises(UsageError, match="expected values in column empty, found none"):
        suggest_task(table, ["empty"])
