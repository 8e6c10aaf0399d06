"""A table as a data set: which columns are seen, how rows are split, what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline._handlers.columns import Column
from pipeline.data.dataset import SPLITS, DataSet
from pipeline.data.load import load_data_set, outside_digests
from pipeline.errors import DataError
from pipeline.recipe.data import Data
from pipeline.recipe.task import Classification
from tests.reporters import Lines

ROWS = 120


def write(folder: Path, *, rows: int = ROWS, part: bool = False) -> None:
    """Rows whose target follows from their columns; each stands there twice."""
    lines = ["number,width,colour,kind" + ",part" * part]
    for row in range(rows):
        width, colour = row // 2 * 0.5, ("red", "green", "blue")[row // 2 % 3]
        said = f",{('Train', 'val', 'test')[row // 2 % 3]}" if part else ""
        lines.append(f"{row},{width},{colour},{'wide' if width > 15 else 'narrow'}{said}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")


def load(folder: Path, **fields: Any) -> tuple[DataSet, list[str]]:
    data = Data.model_validate({"table": "rows.csv", "targets": ["kind"], "columns": {"number": "ignore"}, **fields})
    reporter = Lines()
    scratch = folder / "scratch"
    loaded = load_data_set(
        data, folder, task=Classification(), scratch=scratch, cache=folder / "cache", reporter=reporter
    )
    return loaded, reporter.said


def contents(data: DataSet) -> list[set[tuple[float, ...]]]:
    return [{tuple(row) for row in data.split(name).inputs["features"].tolist()} for name in SPLITS]


def test_columns_are_shown_and_described(tmp_path: Path) -> None:
    write(tmp_path)
    data, lines = load(tmp_path)
    assert lines[:2] == [
        "data: column width: number, 0 to 29.5",
        "data: column colour: category of 3: blue, green, red",
    ]
    [spec] = data.inputs
    assert (spec.name, spec.dtype, spec.shape, spec.missing) == ("features", "float32", (2,), False)
    assert spec.columns == (Column(name="width"), Column(name="colour", categories=("blue", "green", "red")))
    assert data.classes == ("narrow", "wide")
    assert list(data.sources) == ["data.table rows.csv"]


def test_copies_are_in_one_split_and_every_class_in_each(tmp_path: Path) -> None:
    write(tmp_path)
    data, lines = load(tmp_path)
    train, validation, test = contents(data)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)
    assert sum(len(data.split(name)) for name in SPLITS) == ROWS
    assert all(set(data.split(name).labels.tolist()) == {0, 1} for name in SPLITS)  # type: ignore[union-attr]
    assert f"data: 60 of {ROWS} rows hold the same values as another, targets aside" in lines


def test_a_row_keeps_its_split_when_others_are_added(tmp_path: Path) -> None:
    write(tmp_path)
    before = contents(load(tmp_path)[0])
    write(tmp_path, rows=2 * ROWS)
    after = contents(load(tmp_path)[0])
    assert all(old <= new for old, new in zip(before, after, strict=True))
    assert contents(load(tmp_path, seed=1)[0]) != after


def test_a_column_of_splits_is_followed_and_copies_across_it_are_told(tmp_path: Path) -> None:
    write(tmp_path, part=True)
    data, _ = load(tmp_path, split="part")
    colours = [set(data.split(name).inputs["features"][:, 1].tolist()) for name in SPLITS]
    assert colours == [{2.0}, {1.0}, {0.0}]
    assert data.inputs[0].columns[-1].name == "colour", "the column of splits is not seen"
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text + "999,0.0,red,narrow,test\n")
    _, lines = load(tmp_path, split="part")
    assert lines[-1].endswith("; 1 of test also stand in train, so that figures are too good")


def test_validation_is_made_of_train_where_the_column_names_none(tmp_path: Path) -> None:
    write(tmp_path, part=True)
    text = (tmp_path / "rows.csv").read_text()
    (tmp_path / "rows.csv").write_text(text.replace(",val", ",train"))
    data, _ = load(tmp_path, split="part")
    assert len(data.test) == ROWS // 3
    assert 0 < len(data.validation) < len(data.train)


def test_classes_may_be_listed_in_the_order_of_a_trained_network(tmp_path: Path) -> None:
    write(tmp_path)
    found, listed = load(tmp_path)[0], load(tmp_path, classes=["wide", "narrow", "other"])[0]
    assert listed.classes == ("wide", "narrow", "other")
    assert found.train.labels is not None
    assert listed.train.labels is not None
    np.testing.assert_array_equal(listed.train.labels, 1 - found.train.labels)


def test_a_table_may_have_no_targets(tmp_path: Path) -> None:
    write(tmp_path)
    data, _ = load(tmp_path, targets=[], classes=["a", "b"], columns={"number": "ignore", "kind": "ignore"})
    assert not data.labelled
    assert data.classes == ("a", "b")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"targets": ["kin"]},
            "data.targets kin: expected one of its columns, number, .* found 'kin'; did you mean kind",
        ),
        ({"columns": {"numbr": "ignore"}}, "data.columns.numbr: expected one of its columns"),
        ({"split": "part"}, "data.split: expected one of its columns"),
        ({"split": "colour"}, "row 2, column colour: expected train, validation or test, found 'red'"),
        (
            {"columns": {"number": "ignore", "width": "ignore", "colour": "ignore"}},
            "expected a column besides colour, kind, number, width, for the network to see, found none",
        ),
        ({"columns": {"colour": ["red", "green"]}}, "row 6, column colour: expected one of red, green, found 'blue'"),
        ({"classes": ["wide"]}, "data.classes: expected every class of the data"),
        ({"targets": ["width"]}, 'column width: expected classes, found the number 0.5; .* kind = "regression"'),
    ],
)
def test_what_a_recipe_says_must_fit_the_table(tmp_path: Path, fields: dict[str, Any], message: str) -> None:
    write(tmp_path)
    with pytest.raises(DataError, match=message):
        load(tmp_path, **fields)


@pytest.mark.parametrize(
    ("rows", "message"),
    [(0, "expected rows below the header, found none"), (2, "expected examples for train, validation and test, found")],
)
def test_a_table_with_too_few_rows(tmp_path: Path, rows: int, message: str) -> None:
    write(tmp_path, rows=rows)
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_the_files_of_a_table_are_watched(tmp_path: Path) -> None:
    write(tmp_path)
    data = Data(table="rows.csv", targets=("kind",))
    before = outside_digests(data, tmp_path, task=Classification())
    write(tmp_path, rows=6)
    assert before.keys() == {"data.table rows.csv"}
    assert outside_digests(data, tmp_path, task=Classification()) != before
    with pytest.raises(DataError, match=r"data\.table none\.csv: expected a file, found none at"):
        outside_digests(Data(table="none.csv", targets=("kind",)), tmp_path, task=Classification())
