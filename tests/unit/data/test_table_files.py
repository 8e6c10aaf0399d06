"""Tables as files: what separates cells, where a row is wrong, what is no table, and Parquet beside CSV."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.data import table_files
from pipeline.data.table_files import read_header, read_pieces
from pipeline.errors import DataError


def table(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "rows.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def cells(path: Path) -> dict[str, list[str]]:
    header = read_header(path)
    columns: dict[str, list[str]] = {name: [] for name in header}
    for piece in read_pieces(path, header):
        for name, column in zip(header, piece, strict=True):
            columns[name].extend(column)
    return columns


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x y\n2,\n",
        "a;b\r\n1;x y\r\n2;\r\n\r\n",
        "\ufeffa\tb\n1\tx y\n2\t\n",
        '"a"|"b"\n 1 |"x y"\n2| \n\n',
        'a,"b"\n1,"x y"\n"2",""',
    ],
)
def test_cells_of_any_usual_csv(tmp_path: Path, content: str) -> None:
    assert cells(table(tmp_path, content)) == {"a": ["1", "2"], "b": ["x y", ""]}


def test_a_cell_in_quotes_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    path = table(tmp_path, '"a, of all",b\n"x, ""y""","1\n2"\n')
    assert cells(path) == {"a, of all": ['x, "y"'], "b": ["1\n2"]}


def test_pieces_hold_all_rows_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_files, "_PIECE_ROWS", 3)
    path = table(tmp_path, "a\n" + "".join(f"{row}\n" for row in range(10)) + "\n\n\n\n\n")
    assert cells(path) == {"a": [str(row) for row in range(10)]}
    assert len(list(read_pieces(path, ["a"]))) == 4


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected a table with a header in its first row, found an empty file"),
        (",a\n0,1\n", "found none for column 1 of 2; give it one .*index=False"),
        ("a,b,a\n", "expected columns of different names, found twice: a"),
        ("a,b\n1,2\n3\n", "row 3: expected 2 cells, as in the header, found 1"),
        ("a,b\n1,2,3\n", "row 2: expected 2 cells, as in the header, found 3"),
        ("a,b\n1,2\n\n3,4\n", "row 3: expected 2 cells, as in the header, found an empty row"),
        ('a,b\n1,"2\n', "expected CSV, found: unexpected end of data"),
        ("a,b\n1,ü\n".encode("latin-1"), "expected text in UTF-8, found byte 0xfc"),
        ("a,b\n".encode("utf-16"), "found text in UTF-16; save it in UTF-8"),
        (b"PK\x03\x04more", "found a zip file or a spreadsheet; save the sheet as CSV"),
        (b"\x1f\x8bmore", "found a file packed by gzip; unpack it"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        cells(table(tmp_path, content))


def test_an_empty_row_at_the_edge_of_a_piece_is_none_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "_PIECE_ROWS", 2)
    with pytest.raises(DataError, match="row 4: expected 1 cells, as in the header, found an empty row"):
        cells(table(tmp_path, "a\n1\n2\n\n\n3\n"))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a readable file, found: No such file"):
        read_header(tmp_path / "none.csv")


def test_parquet_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r"needs pyarrow; install it with: pip install 'proven-pipeline\[parquet\]'"):
        read_header(table(tmp_path, b"PAR1" + bytes(20)))


def test_parquet_is_read_as_the_csv_of_the_same_table(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    path = tmp_path / "rows.bin"
    columns = {
        "a": pa.array([1.5, None, 0.1]),
        "b": pa.array(["x", None, "z "]),
        "c": pa.array([True, False, None]),
        "d": pa.array([1, 2, 3]),
        "e": pa.array([0.1, 2.0, None], type=pa.float32()),
    }
    parquet.write_table(pa.table(columns), path)
    assert cells(path) == {
        "a": ["1.5", "", "0.1"],
        "b": ["x", "", "z"],
        "c": ["true", "false", ""],
        "d": ["1", "2", "3"],
        "e": ["0.1", "2", ""],
    }


def test_a_damaged_parquet_file(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(DataError, match="expected a Parquet file of numbers and texts, found"):
        read_header(table(tmp_path, b"PAR1" + bytes(20)))
