"""How a CSV table is read: its delimiter, its header, and the columns that the model takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline._handlers.decode import ImageDecoding, InputSpec
from pipeline.errors import DataError, UsageError
from pipeline.scoring.table import open_table
from tests.row_inputs import FLAT, NAMED

GREY = InputSpec(name="image", dtype="uint8", shape=(1, 2, 2), low=0, high=255, decoding=ImageDecoding(mode="L"))


def written(tmp_path: Path, content: str | bytes, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content", ["1,2\n3,4\n", "a,b\n1,2\n3,4\n", "a;b\r\n1;2\r\n\r\n3;4\r\n", "\ufeffa,b\n1,2\n3,4"]
)
def test_rows_in_order(tmp_path: Path, content: str) -> None:
    source = open_table(written(tmp_path, content), [FLAT])
    [request] = source.requests(size=10)
    assert request.document == {"first": 0, "rows": [["1", "2"], ["3", "4"]]}
    assert list(request.names) == [0, 1]
    assert request.done == source.total


def test_columns_by_name_in_any_order_and_others_left_out(tmp_path: Path) -> None:
    source = open_table(written(tmp_path, 'id,sex,age\n7,male,3\n8,"fe\nmale",4\n'), [NAMED])
    assert source.names == ("age", "sex")
    [request] = source.requests(size=10)
    assert request.document["rows"] == [["3", "male"], ["4", "fe\nmale"]]
    assert source.notes[0].endswith("left out 1 columns: id")
    assert source.column("id") == ["7", "8"]


def test_requests_begin_where_they_are_told_to(tmp_path: Path) -> None:
    source = open_table(written(tmp_path, "a\tb\n" + "".join(f"{row}\t0\n" for row in range(7)), "r.tsv"), [FLAT])
    requests = list(source.requests(size=2, start=4))
    assert [request.document["first"] for request in requests] == [4, 6]
    assert requests[0].document["rows"] == [["4", "0"], ["5", "0"]]


@pytest.mark.parametrize(("row", "cells"), [("3", 1), ("3,4,5", 3)])
def test_of_a_row_of_another_length_only_that_is_handed_on(tmp_path: Path, row: str, cells: int) -> None:
    [request] = open_table(written(tmp_path, f"1,2\n{row}\n"), [FLAT]).requests(size=10)
    assert request.document["rows"] == [["1", "2"], cells]


def test_what_stands_between_quotes_separates_nothing(tmp_path: Path) -> None:
    source = open_table(written(tmp_path, '"a,b,c";age;sex\n1;2;male\n'), [NAMED])
    [request] = source.requests(size=10)
    assert request.document["rows"] == [["2", "male"]]


@pytest.mark.parametrize(
    ("spec", "content", "message"),
    [
        (FLAT, "a,b,c\n1,2,3\n", r"expected 2 columns, .*, found 3: a, b, c; leave the others out"),
        (NAMED, "age,height\n1,2\n", r"expected columns sex, found age, height"),
        (NAMED, "age,sex,age\n", r"expected each column once, found several of age"),
        (FLAT, "", r"expected a row of names and rows of values, found an empty file"),
    ],
)
def test_other_columns_are_refused(tmp_path: Path, spec: InputSpec, content: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_table(written(tmp_path, content), [spec])


def test_a_model_of_pictures_takes_no_table(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a folder of pictures, .*, found a table"):
        open_table(written(tmp_path, "a,b\n"), [GREY])


def test_bytes_that_are_not_text_stay_in_their_cell(tmp_path: Path) -> None:
    [request] = open_table(written(tmp_path, b"a,b\n1,caf\xe9\n"), [FLAT]).requests(size=10)
    assert request.document["rows"] == [["1", "caf\udce9"]]
