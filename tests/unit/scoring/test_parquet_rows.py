"""Rows of a Parquet file are those of the CSV file of the same table, of which no more is read than is wanted."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.data.parquet_files import MAGIC
from pipeline.errors import DataError, UsageError
from pipeline.scoring import parquet_rows
from pipeline.scoring.table import open_table
from tests.row_inputs import FLAT, NAMED

AGES = [0.1, None, 3.0, 1e-7, 5.25, -2.0, 7.0]
SEXES = ["male", "female", None, "male ", "w", "male", "female"]


def parquet(path: Path, columns: Sequence[Any], names: Sequence[str], **options: Any) -> Path:
    pa = pytest.importorskip("pyarrow")
    from pyarrow.parquet import write_table

    write_table(pa.table([pa.array(column) for column in columns], names=list(names)), path, **options)
    return path


def rows(source: Any, **options: Any) -> list[list[str]]:
    return [cells for request in source.requests(**options) for cells in request.document["rows"]]


def test_cells_are_those_of_the_csv_file(tmp_path: Path) -> None:
    names = ("id", "sex", " age ", "later")
    path = parquet(tmp_path / "rows.parquet", [range(7), SEXES, AGES, [True] * 7], names, row_group_size=3)
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(zip(range(7), SEXES, AGES, ["true"] * 7, strict=True))
    source, same = open_table(path, [NAMED]), open_table(tmp_path / "rows.csv", [NAMED])
    assert (source.names, source.job, source.notes[0].partition(": ")[2]) == (
        same.names,
        same.job,
        same.notes[0].partition(": ")[2],
    )
    numbers = [[float(age) if age else None, sex.strip()] for age, sex in rows(source, size=10)]
    assert numbers == [[float(age) if age else None, sex.strip()] for age, sex in rows(same, size=10)]
    assert (source.total, source.unit) == (7, "rows")
    assert [request.done for request in source.requests(size=3)] == [3, 6, 7]
    assert source.column("id") == same.column("id") == [*"0123456"]
    with pytest.raises(UsageError, match="expected a column size, found id, sex, age, later"):
        source.column("size")


@pytest.mark.parametrize("piece", [1, 2, 4096])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 6, 7])
def test_requests_begin_where_they_are_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, piece: int
) -> None:
    monkeypatch.setattr(parquet_rows, "_PIECE_ROWS", piece)
    path = parquet(tmp_path / "rows.parquet", [range(7), range(10, 17)], "ab", row_group_size=3)
    requests = list(open_table(path, [FLAT]).requests(size=2, start=start))
    assert [request.document["first"] for request in requests] == list(range(start, 7, 2))
    cells = [cells for request in requests for cells in request.document["rows"]]
    assert cells == [[str(row), str(row + 10)] for row in range(start, 7)]


def test_columns_are_taken_by_place_whatever_their_names(tmp_path: Path) -> None:
    for names in (["a", "a"], ["a.b", "a"], ["a", "a.b"]):
        path = parquet(tmp_path / "rows.parquet", [[1, 2], [3, 4]], names)
        source = open_table(path, [FLAT])
        assert rows(source, size=10) == [["1", "3"], ["2", "4"]]
        assert source.notes == (f"{path}: columns are taken in their order: {', '.join(names)}",)


def test_it_is_told_by_its_content(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.csv", [[1], [3]], "ab")
    assert rows(open_table(path, [FLAT]), size=10) == [["1", "3"]]
    (tmp_path / "rows.parquet").write_text("a,b\n1,3\n")
    with pytest.raises(DataError, match=r"rows.parquet: expected a Parquet file, found another"):
        open_table(tmp_path / "rows.parquet", [FLAT])


def test_columns_that_are_no_cells_are_refused_only_where_they_are_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "rows.parquet", [[[1, 2]], [3.0], ["male"]], ["list", "age", "sex"])
    assert rows(open_table(path, [NAMED]), size=10) == [["3", "male"]]
    path = parquet(tmp_path / "lists.parquet", [[[1, 2]], [3.0]], ["list", "age"])
    with pytest.raises(DataError, match=r"lists.parquet: expected a Parquet file of numbers and texts, found"):
        rows(open_table(path, [FLAT]), size=10)


def test_without_its_library_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = tmp_path / "rows.parquet"
    path.write_bytes(MAGIC + bytes(20))
    with pytest.raises(DataError) as caught:
        open_table(path, [FLAT])
    assert str(caught.value) == (
        f"{path}: a Parquet file needs pyarrow; install it with: pip install 'proven-pipeline[parquet]', or save the "
        "table as CSV"
    )
