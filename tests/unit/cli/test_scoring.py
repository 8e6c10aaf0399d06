"""`pipeline predict` has two forms, and a mixture of them is told in one line; so is what `compare` cannot do."""

from __future__ import annotations

import pytest

from tests.command_line import run_here

FORM = "pipeline predict ARCHIVE --data FOLDER|FILE --out answers.csv"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["predict", "m.mar"],
            (
                "m.mar: expected files to ask the server about, found an archive; to answer a folder or a table with "
                "it: pipeline predict m.mar --data FOLDER|FILE --out answers.csv"
            ),
        ),
        (
            ["predict", "a.png", "--out", "a.csv"],
            "--out: expected an archive and --data with it, found files for the running server; leave it out, or: "
            + FORM,
        ),
        (
            ["predict", "a.png", "--workers", "2"],
            "--workers: expected an archive and --data with it, found files for the running server; leave it out, or: "
            + FORM,
        ),
        (
            ["predict", "a.png", "b.png", "--data", "pictures", "--out", "a.csv"],
            "--data: expected one archive (.mar) in front of it, found 2 files",
        ),
        (["predict", "a.png", "--data", "pictures"], "--data: expected one archive (.mar) in front of it, found a.png"),
        (
            ["predict", "m.mar", "--data", "pictures", "--out", "a.csv", "--url", "http://127.0.0.1:1"],
            "--url: expected no server with --data, which the archive answers by itself; leave one out",
        ),
        (
            ["predict", "m.mar", "--data", "pictures"],
            "--data: expected the file to write the answers to; give --out answers.csv",
        ),
        (
            ["predict", "m.mar", "--data", "pictures", "--out", "a.parquet"],
            "--out: expected a name ending in .csv or .jsonl, found 'a.parquet'; pandas turns a .csv into Parquet",
        ),
        (["compare", "a.mar", "--data", "x"], "Missing argument 'NEW'"),
        (
            ["compare", "a.mar", "b.mar", "--data", "x", "--max-differing", "1"],
            "--max-differing: expected a share above 0 and below 1, found 1",
        ),
        (
            ["compare", "a.mar", "b.mar", "--data", "x", "--out", "d.jsonl"],
            "--out: expected a name ending in .csv, found 'd.jsonl'",
        ),
    ],
)
def test_usage_errors_are_one_clear_line(arguments: list[str], message: str) -> None:
    ended = run_here(*arguments)
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line in (f"error: {message}", f"error: {message}; see pipeline --help")
